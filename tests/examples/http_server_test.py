"""http_server: serves curl, wrk and h2load, and refuses what two parsers could read differently."""

import http.client
import re
import resource
import signal
import socket
import sys
import time

import example

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def echoed(body):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body))


class HttpServer(example.ExampleTest):
    def exchange(self, request):
        """What a connection answers to `request` until it ends."""
        client = self.connect(self.start(0))
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return example.read_to_end(client)

    def refused(self, request, server=None):
        """The status line of a refusal, after which the server ends the connection by itself."""
        client = self.connect(server or self.start(0))
        client.sendall(request)
        answer = example.read_to_end(client)
        client.close()
        self.assertIn(b"\r\nConnection: close\r\n", answer)
        return answer.split(b"\r\n")[0].decode().removeprefix("HTTP/1.1 ")

    def test_wrk_sees_no_errors(self):
        server = self.start(0)
        report = self.run_client(
            example.tool("wrk"), "-d1s", "-c64", "-t1", f"http://127.0.0.1:{server.port}/").decode()
        self.assertNotIn("Socket errors", report, report)
        self.assertNotIn("Non-2xx", report, report)
        requests = re.search(r"(\d+) requests in", report)
        self.assertGreater(int(requests.group(1)), 500, report)

    def test_h2load_pipelines_http_1_without_errors(self):
        server = self.start(0)
        report = self.run_client(
            example.tool("h2load"), "--h1", "-n", 3000, "-c", 10, "-m", 8,
            f"http://127.0.0.1:{server.port}/").decode()
        self.assertIn("3000 succeeded, 0 failed, 0 errored, 0 timeout", report, report)
        self.assertIn("status codes: 3000 2xx", report, report)

    def test_curl_gets_posts_and_is_refused(self):
        server = self.start(0)
        url = f"http://127.0.0.1:{server.port}"
        curl = (example.tool("curl"), "-sS")
        self.assertEqual(self.run_client(*curl, f"{url}/", f"{url}/"), b"hello, world\n" * 2)
        self.assertEqual(self.run_client(*curl, "-d", "abc", f"{url}/echo"), b"abc")
        # More than 1024 bytes: curl asks first, by Expect: 100-continue, and waits for the answer.
        large = b"x" * 1_000_000
        for how in ((), ("-H", "Transfer-Encoding: chunked")):
            answer = self.run_client(*curl, "-H", "Expect: 100-continue", "--expect100-timeout", 60,
                                     *how, "--data-binary", "@-", f"{url}/echo", send=large)
            self.assertTrue(answer == large, f"{len(answer)} bytes")
        status = (*curl, "-o", "/dev/null", "-w", "%{http_code}")
        self.assertEqual(self.run_client(*status, f"{url}/nowhere"), b"404")
        self.assertEqual(self.run_client(*status, "-X", "DELETE", f"{url}/"), b"405")
        self.assertEqual(self.run_client(*status, "-I", f"{url}/"), b"200")
        self.assertEqual(self.run_client(*status, "-0", f"{url}/"), b"200")

    def test_python_keeps_its_connection(self):
        server = self.start(0)
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.port, timeout=example.PATIENCE_S)
        for method, body in (("GET", b"hello, world\n"), ("HEAD", b""), ("GET", b"hello, world\n")):
            connection.request(method, "/")
            response = connection.getresponse()
            self.assertEqual((response.status, response.read()), (200, body))
        connection.close()

    def test_pipelined_requests_are_answered_in_order(self):
        head = GET.replace(b"GET", b"HEAD")
        post = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab\r\nc"
        headers = HELLO[:-len(b"hello, world\n")]
        self.assertEqual(self.exchange(GET + head + post + GET),
                         HELLO + headers + echoed(b"ab\r\nc") + HELLO)

    def test_a_long_pipeline_that_meets_every_boundary_of_the_buffer(self):
        self.assertEqual(self.exchange(GET * 5000), HELLO * 5000)

    def test_chunks_are_put_together_wherever_reads_cut_them(self):
        request = (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
                   b"5\r\nhello\r\n0002 ; name=value\r\n, \r\nA\r\n0123456789\r\n"
                   b"0\r\nTrailer: x\r\n\r\n")
        expected = echoed(b"hello, 0123456789")
        self.assertEqual(self.exchange(request + GET), expected + HELLO)
        server = self.start(0)
        for cut in range(1, len(request), 7):
            client = self.connect(server)
            client.sendall(request[:cut])
            time.sleep(0.002)
            client.sendall(request[cut:])
            self.assertEqual(example.read_exactly(client, len(expected)), expected)
            client.close()

    def test_a_request_may_come_byte_by_byte(self):
        client = self.connect(self.start(0))
        for byte in GET:
            client.sendall(bytes([byte]))
            time.sleep(0.001)
        self.assertEqual(example.read_exactly(client, len(HELLO)), HELLO)
        client.close()

    def test_connection_close_closes(self):
        client = self.connect(self.start(0))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nCONNECTION: x, Close\r\n\r\n" + GET)
        answer = example.read_to_end(client)
        self.assertEqual(answer.count(b"200 OK"), 1)
        self.assertIn(b"\r\nConnection: close\r\n", answer)

    def test_http_1_0_closes_unless_it_is_asked_not_to(self):
        self.assertEqual(self.refused(b"GET / HTTP/1.0\r\n\r\n"), "200 OK")
        kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        self.assertEqual(self.exchange(kept + kept), HELLO + HELLO)

    def test_targets_in_each_form(self):
        for target in (b"/?query", b"http://example.org/", b"http://example.org"):
            self.assertEqual(self.exchange(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target), HELLO)

    def test_what_is_too_large_is_refused_and_the_refusal_arrives(self):
        server = self.start(0)
        head = b"GET / HTTP/1.1\r\nHost: x\r\n"
        post = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
        chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
        for request, status in (
                (head + b"X: " + b"y" * 9000, "431"), (head + b"X: " + b"y" * 300000, "431"),
                (head + b"X: y\r\n" * 101 + b"\r\n", "431"),
                (post + b"Content-Length: 1048577\r\n\r\n", "413"),
                (post + b"Content-Length: 99999999999999999999999\r\n\r\n", "413"),
                (chunked + b"100001\r\n", "413"), (chunked + b"FFFFFFFFFFFFFFFF\r\n", "413"),
                (chunked + b"1;" + b"x" * 300, "400"),
                (chunked + b"0\r\n" + b"X: y\r\n" * 3000, "431")):
            with self.subTest(request=request[:80]):
                self.assertEqual(self.refused(request, server)[:3], status)

    def test_what_two_parsers_could_read_differently_is_refused(self):
        server = self.start(0)
        post = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
        chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
        for request in (
                b"hello?\r\n\r\n", b"GET /\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",  # No host, and two.
                b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nY: b\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
                post + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                post + b"Content-Length: +3\r\n\r\nabc", post + b"Content-Length: 3, 3\r\n\r\nabc",
                post + b"Content-Length: \r\n\r\n", post + b"Content-Length: -1\r\n\r\n",
                post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                chunked + b"x\r\n", chunked + b"-1\r\n", chunked + b" 1\r\nx\r\n",
                chunked + b"0x1\r\n", chunked + b"\r\n", chunked + b"1\r\nxy\r\n",
                chunked + b"1\nx\r\n0\r\n\r\n"):
            with self.subTest(request=request):
                self.assertEqual(self.refused(request, server), "400 Bad Request")
        for request, status in (
                (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "505 HTTP Version Not Supported"),
                (post + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "501 Not Implemented"),
                (post + b"Expect: magic\r\n\r\n", "417 Expectation Failed")):
            self.assertEqual(self.refused(request, server), status)

    def test_a_body_is_never_taken_for_a_request(self):
        for header in (b"Content-Length: %d" % len(GET), b"Transfer-Encoding: chunked"):
            body = GET if b"Length" in header else b"%x\r\n%s\r\n0\r\n\r\n" % (len(GET), GET)
            for method, path in ((b"GET", b"/"), (b"POST", b"/nowhere"), (b"DELETE", b"/")):
                answer = self.exchange(
                    b"%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s" % (method, path, header, body))
                self.assertEqual(answer.count(b"HTTP/1.1 "), 1, answer)

    def test_random_bytes_harm_nobody_else(self):
        server = self.start(0)
        witness = self.connect(server)
        numbers = example.random_numbers(7)
        pieces = (b"GET", b"POST", b" ", b"/", b"/echo", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b":",
                  b"Host: x", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"5", b"0",
                  b"hello", b"\0", b"\xff")
        for _ in range(300):
            client = self.connect(server)
            client.sendall(b"".join(numbers.choice(pieces) for _ in range(numbers.randrange(30))))
            client.shutdown(socket.SHUT_WR)
            self.assertNotIn(b"500", example.read_to_end(client)[:20])
            client.close()
        witness.sendall(GET)
        self.assertEqual(example.read_exactly(witness, len(HELLO)), HELLO)
        witness.close()

    def test_a_request_that_trickles_in_is_given_up(self):
        server = self.start(0)
        start = time.monotonic()
        requests = (b"GET / HTTP/1.1\r\n",
                    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
                    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
        clients = [self.connect(server) for _ in requests]
        for client, request in zip(clients, requests):
            client.sendall(request)
        for client in clients:
            answer = example.read_to_end(client)
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), answer)
            client.close()
        self.assertGreater(time.monotonic() - start, 2)

    def test_who_asks_much_and_reads_nothing_is_cut_off(self):
        client = self.connect(self.start(0))
        client.settimeout(0.2)
        request = (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
                   + b"x" * 900000)
        end = time.monotonic() + example.PATIENCE_S
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < end:
                try:
                    client.sendall(request)
                except TimeoutError:
                    pass
        client.close()

    @staticmethod
    def asks(client):
        client.sendall(GET)
        return client.recv(1 << 16) == HELLO

    def test_it_survives_without_memory_for_stacks(self):
        self.check_survives_without_stacks(self.asks)

    def test_it_goes_on_where_no_memory_is_left_to_say_what_is_wrong(self):
        self.skip_where_memory_is_shared()
        server = self.start(0, preload=without_memory)
        clients = [self.connect(server)]
        self.assertTrue(self.asks(clients[0]))
        # Without memory, and without descriptors: accept() fails again and again.
        numbers = server.open_fds()
        resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE, (numbers, 1024))
        server.child.send_signal(signal.SIGUSR1)
        clients.append(self.connect(server))
        example.eventually(lambda: "accept" in server.said(), "what is wrong is said")
        self.assertIsNone(server.child.poll(), server.said())
        server.child.send_signal(signal.SIGUSR2)
        resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE, (1024, 1024))
        self.assertTrue(self.asks(clients[1]))
        for client in clients:
            client.close()

    def test_a_signal_ends_it_when_the_connections_have_ended(self):
        self.check_stops(self.asks, 0)

    def test_a_request_in_progress_is_answered_after_the_signal(self):
        server = self.start(0)
        client = self.connect(server)
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
        time.sleep(0.2)
        server.child.send_signal(signal.SIGTERM)
        example.eventually(lambda: not server.listens(), "the listener is closed")
        client.sendall(b"llo")
        answer = example.read_to_end(client)
        self.assertIn(b"\r\nConnection: close\r\n", answer)
        self.assertTrue(answer.endswith(b"hello"), answer)
        client.close()
        self.assertEqual(server.wait(), 0, server.said())


without_memory = ""

if __name__ == "__main__":
    without_memory = sys.argv.pop(2)
    example.main()
