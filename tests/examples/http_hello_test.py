"""http_hello: serves wrk and others, keeps connections alive, and refuses what it does not take."""

import http.client
import re
import shutil
import socket
import time

import example

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class HttpHello(example.ExampleTest):
    def exchange(self, request):
        """What a connection answers to `request` until it ends."""
        client = self.connect(self.start(0))
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return example.read_to_end(client)

    def refused(self, request):
        """The status line of a refusal, after which the server ends the connection by itself."""
        client = self.connect(self.start(0))
        client.sendall(request)
        answer = example.read_to_end(client)
        client.close()
        self.assertIn(b"\r\nConnection: close\r\n", answer)
        return answer.split(b"\r\n")[0].decode()

    def test_wrk_sees_no_errors(self):
        server = self.start(0)
        report = self.run_client(
            example.tool("wrk"), "-d1s", "-c64", "-t1", f"http://127.0.0.1:{server.port}/").decode()
        self.assertNotIn("Socket errors", report, report)
        self.assertNotIn("Non-2xx", report, report)
        requests = re.search(r"(\d+) requests in", report)
        self.assertGreater(int(requests.group(1)), 500, report)

    def test_ordinary_clients_read_the_greeting(self):
        server = self.start(0)
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.port, timeout=example.PATIENCE_S)
        for method, body in (("GET", b"hello, world\n"), ("HEAD", b""), ("GET", b"hello, world\n")):
            connection.request(method, "/")
            response = connection.getresponse()
            self.assertEqual((response.status, response.read()), (200, body))
        connection.close()
        if shutil.which("curl") is not None:
            url = f"http://127.0.0.1:{server.port}"
            self.assertEqual(self.run_client("curl", "-sS", "--fail", f"{url}/a", f"{url}/b"),
                             b"hello, world\n" * 2)

    def test_a_connection_is_kept_alive(self):
        client = self.connect(self.start(0))
        for _ in range(10):
            client.sendall(GET)
            self.assertEqual(example.read_exactly(client, len(HELLO)), HELLO)
        client.close()

    def test_pipelined_requests_are_answered_in_order(self):
        head = GET.replace(b"GET", b"HEAD")
        headers = HELLO[:-len(b"hello, world\n")]
        self.assertEqual(self.exchange(GET + head + GET), HELLO + headers + HELLO)

    def test_a_long_pipeline_that_meets_every_boundary_of_the_buffer(self):
        self.assertEqual(self.exchange(GET * 2000), HELLO * 2000)

    def test_a_request_may_come_byte_by_byte(self):
        client = self.connect(self.start(0))
        for byte in GET:
            client.sendall(bytes([byte]))
            time.sleep(0.001)
        self.assertEqual(example.read_exactly(client, len(HELLO)), HELLO)
        client.close()

    def test_connection_close_closes(self):
        client = self.connect(self.start(0))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nCONNECTION:  Close\r\n\r\n" + GET)
        answer = example.read_to_end(client)
        self.assertEqual(answer.count(b"200 OK"), 1)
        self.assertIn(b"\r\nConnection: close\r\n", answer)

    def test_http_1_0_closes(self):
        self.assertEqual(self.refused(b"GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK")

    def test_an_oversized_head_is_refused(self):
        self.assertEqual(self.refused(b"GET / HTTP/1.1\r\nX: " + b"y" * 9000),
                         "HTTP/1.1 431 Request Header Fields Too Large")

    def test_a_refusal_arrives_although_much_was_not_read(self):
        self.assertEqual(self.refused(b"GET / HTTP/1.1\r\nX: " + b"y" * 300000),
                         "HTTP/1.1 431 Request Header Fields Too Large")

    def test_a_body_is_refused_and_never_taken_for_a_request(self):
        for header in (b"Content-Length: %d" % len(GET), b"Transfer-Encoding: chunked"):
            request = b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n" + GET
            self.assertEqual(self.refused(request), "HTTP/1.1 413 Content Too Large")

    def test_other_methods_and_no_http_at_all_are_refused(self):
        self.assertEqual(self.refused(b"DELETE / HTTP/1.1\r\n\r\n"),
                         "HTTP/1.1 405 Method Not Allowed")
        self.assertEqual(self.refused(b"hello?\r\n\r\n"), "HTTP/1.1 400 Bad Request")

    def test_a_request_that_trickles_in_is_given_up(self):
        client = self.connect(self.start(0))
        client.sendall(b"GET / HTTP/1.1\r\n")
        start = time.monotonic()
        answer = example.read_to_end(client)
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), answer)
        self.assertGreater(time.monotonic() - start, 2)
        client.close()


if __name__ == "__main__":
    example.main()
