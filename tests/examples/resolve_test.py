"""resolve: c-ares in fibers, against a server of names that is slow, silent, and many at once."""

import socket
import struct
import threading

import example


def answer(query, address):
    """An answer with one address, or that there is no such name."""
    identity, _, questions = struct.unpack(">HHH", query[:6])
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    if address is None:
        return struct.pack(">HHHHHH", identity, 0x8183, questions, 0, 0, 0) + question
    head = struct.pack(">HHHHHH", identity, 0x8180, questions, 1, 0, 0)
    return head + question + struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)


def name_of(query):
    labels, at = [], 12
    while query[at] != 0:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += query[at] + 1
    return ".".join(labels)


class NameServer:
    """Knows host0.test to host255.test; says nothing to the first question of each."""

    def __init__(self, silent):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.silent = silent
        self.asked = set()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(512)
            if not query:
                return
            name = name_of(query)
            if self.silent and name not in self.asked:
                self.asked.add(name)
                continue
            known = name.startswith("host") and name.endswith(".test")
            address = f"192.0.2.{name[4:-5]}" if known else None
            self.socket.sendto(answer(query, address), client)

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


class Resolve(example.ExampleTest):
    def resolve(self, *names, silent=False):
        server = NameServer(silent)
        self.addCleanup(server.stop)
        process = example.Process(example.binary, "--server", f"127.0.0.1:{server.port}", *names)
        self.addCleanup(process.stop)
        said = process.child.stdout.read().decode()
        return process.wait(), sorted(said.splitlines())

    def test_a_name(self):
        self.assertEqual(self.resolve("host7.test"), (0, ["host7.test 192.0.2.7"]))

    def test_many_names_at_once(self):
        names = [f"host{number}.test" for number in range(100)]
        expected = sorted(f"{name} 192.0.2.{number}" for number, name in enumerate(names))
        self.assertEqual(self.resolve(*names), (0, expected))

    def test_a_question_that_is_not_answered_is_asked_again(self):
        self.assertEqual(self.resolve("host8.test", silent=True), (0, ["host8.test 192.0.2.8"]))

    def test_a_name_that_is_not_there(self):
        status, lines = self.resolve("nobody.test")
        self.assertEqual(status, 1)
        self.assertIn("nobody.test:", lines[0])


if __name__ == "__main__":
    example.main()
