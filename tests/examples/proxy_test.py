"""proxy: bytes both ways, each direction with an end of its own."""

import hashlib
import os
import re
import socket
import tempfile

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

    @staticmethod
    def read_to_end_or_reset(connection):
        try:
            return example.read_to_end(connection)
        except ConnectionResetError:
            return b""


if __name__ == "__main__":
    example.main()
