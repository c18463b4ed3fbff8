"""proxy: bytes both ways, each direction with an end of its own."""

import hashlib
import os
import re
import signal
import socket
import tempfile
import time

import example

LARGE_BYTES = 32 << 20


class Proxy(example.ExampleTest):
    def large_file(self):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        digest = hashlib.md5()
        for _ in range(LARGE_BYTES >> 20):
            block = os.urandom(1 << 20)
            digest.update(block)
            file.write(block)
        file.flush()
        return file, digest.hexdigest()

    def socat_upstream(self, *address):
        """A socat that listens on a free port; returns the port."""
        upstream = self.helper(
            example.tool("socat"), "-d", "-d", "-t", example.PATIENCE_S,
            "TCP-LISTEN:0,bind=127.0.0.1", *address)
        listening = re.compile(r"listening on AF=2 127\.0\.0\.1:(\d+)")
        example.eventually(lambda: listening.search(upstream.said()), "socat listens")
        return int(listening.search(upstream.said()).group(1))

    def listener(self):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(example.PATIENCE_S)
        self.addCleanup(listener.close)
        return listener

    def through_proxy(self, listener):
        """A client and the connection that the proxy made for it."""
        server = self.start(0, f"127.0.0.1:{listener.getsockname()[1]}")
        client = self.connect(server)
        upstream, _ = listener.accept()
        upstream.settimeout(example.PATIENCE_S)
        self.addCleanup(upstream.close)
        return client, upstream

    def test_the_answer_comes_after_the_end_of_a_large_upload(self):
        # md5sum says nothing until its input has ended: only a half-close gets it to answer.
        file, digest = self.large_file()
        server = self.start(0, f"127.0.0.1:{self.socat_upstream('SYSTEM:md5sum')}")
        with open(file.name, "rb") as upload:
            client = self.helper(example.tool("nc"), "-N", "127.0.0.1", server.port, stdin=upload)
            answer = client.child.stdout.read().decode()
        self.assertEqual(client.wait(), 0, client.said())
        self.assertEqual(answer.split()[0], digest)

    def test_a_large_download_outlives_the_end_of_the_request(self):
        file, digest = self.large_file()
        server = self.start(
            0, f"127.0.0.1:{self.socat_upstream(f'SYSTEM:cat >/dev/null; cat {file.name}')}")
        answer = self.run_client(
            example.tool("socat"), "-t", example.PATIENCE_S, "-", f"TCP:127.0.0.1:{server.port}",
            send=b"the whole file, please\n")
        self.assertEqual(hashlib.md5(answer).hexdigest(), digest)

    def test_each_end_is_passed_on_by_itself(self):
        client, upstream = self.through_proxy(self.listener())
        upstream.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(1), b"")
        client.sendall(b"I still talk")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(example.read_to_end(upstream), b"I still talk")
        client.close()
        upstream.close()

    def test_a_reset_upstream_ends_the_client(self):
        client, upstream = self.through_proxy(self.listener())
        client.sendall(b"x")
        self.assertEqual(example.read_exactly(upstream, 1), b"x")
        example.reset(upstream)
        self.assertEqual(self.read_to_end_or_reset(client), b"")
        client.close()

    def test_a_reset_client_ends_the_upstream(self):
        client, upstream = self.through_proxy(self.listener())
        upstream.sendall(b"x")
        self.assertEqual(example.read_exactly(client, 1), b"x")
        example.reset(client)
        self.assertEqual(self.read_to_end_or_reset(upstream), b"")
        upstream.close()

    def test_without_an_upstream_the_client_is_let_go(self):
        listener = self.listener()
        port = listener.getsockname()[1]
        listener.close()
        client = self.connect(self.start(0, f"127.0.0.1:{port}"))
        self.assertEqual(self.read_to_end_or_reset(client), b"")
        client.close()

    def test_at_the_limit_the_next_one_waits_for_a_slot(self):
        listener = self.listener()
        port = listener.getsockname()[1]
        server = self.start(0, f"127.0.0.1:{port}", "--max-connections", 2)
        clients = [self.connect(server) for _ in range(4)]
        upstreams = [listener.accept()[0] for _ in range(2)]
        listener.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            listener.accept()
        listener.settimeout(example.PATIENCE_S)
        for number in (0, 1):
            example.reset(clients[number])
            upstream, _ = listener.accept()
            clients[2 + number].sendall(b"x")
            self.assertEqual(upstream.recv(1), b"x")
            upstreams.append(upstream)
        for connection in upstreams + clients[2:]:
            connection.close()

    def test_a_silent_connection_is_closed_and_one_that_talks_one_way_is_not(self):
        listener = self.listener()
        server = self.start(0, f"127.0.0.1:{listener.getsockname()[1]}", "--idle-s", 1)
        silent = self.connect(server)
        silent_upstream, _ = listener.accept()
        client = self.connect(server)
        upstream, _ = listener.accept()
        for _ in range(25):  # 2.5 s, downwards only.
            upstream.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            time.sleep(0.1)
        self.assertEqual(silent.recv(1), b"")
        self.assertEqual(silent_upstream.recv(1), b"")
        client.sendall(b"y")
        self.assertEqual(upstream.recv(1), b"y")
        for connection in (silent, silent_upstream, client, upstream):
            connection.close()

    def test_after_a_signal_connections_may_end_by_themselves(self):
        client, upstream = self.through_proxy(self.listener())
        server = self.servers[-1]
        server.child.send_signal(signal.SIGTERM)
        example.eventually(lambda: not server.listens(), "the listener is closed")
        client.sendall(b"the rest")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(example.read_to_end(upstream), b"the rest")
        upstream.close()
        self.assertEqual(server.wait(), 0, server.said())
        client.close()

    def test_what_does_not_end_is_cut_off_after_the_drain(self):
        listener = self.listener()
        server = self.start(0, f"127.0.0.1:{listener.getsockname()[1]}", "--drain-s", 1,
                            "--max-connections", 1)
        client = self.connect(server)
        upstream, _ = listener.accept()
        start = time.monotonic()
        server.stops(signal.SIGINT)
        self.assertGreater(time.monotonic() - start, 0.5)
        self.assert_over(client)
        self.assert_over(upstream)
        upstream.close()

    def test_a_second_signal_does_not_wait(self):
        client, upstream = self.through_proxy(self.listener())
        server = self.servers[-1]
        server.child.send_signal(signal.SIGTERM)
        example.eventually(lambda: not server.listens(), "the listener is closed")
        server.stops(signal.SIGTERM, -signal.SIGTERM)
        self.assert_over(client)
        upstream.close()

    def test_what_is_no_option_is_refused(self):
        for words in ((), ("0",), ("0", "x"), ("0", "127.0.0.1:1", "--idle-s"),
                      ("0", "127.0.0.1:1", "--nonsense", "1"),
                      ("0", "127.0.0.1:1", "--max-connections", "0"),
                      ("0", "127.0.0.1:1", "--idle-s", "-1")):
            child = example.Process(example.binary, *words)
            try:
                self.assertEqual(child.wait(), 2, words)
            finally:
                child.stop()

    @staticmethod
    def read_to_end_or_reset(connection):
        try:
            return example.read_to_end(connection)
        except ConnectionResetError:
            return b""


if __name__ == "__main__":
    example.main()
