"""chat: what one says the others read, and nobody can stall the room."""

import socket
import threading

import example


class Chat(example.ExampleTest):
    def caller(self, server, name):
        """A connection that has said its name, and a file to read its lines from."""
        connection = self.connect(server)
        lines = connection.makefile("rb")
        self.addCleanup(lines.close)
        self.assertEqual(lines.readline(), b"* your name?\n")
        connection.sendall(name.encode() + b"\n")
        return connection, lines

    def member(self, server, name, *here):
        """The same, once it is in the room and has been told who is there."""
        connection, lines = self.caller(server, name)
        self.assertEqual(lines.readline(), " ".join(["* here:", *here]).encode() + b"\n")
        return connection, lines

    def room_of_three(self, server):
        ann, from_ann = self.member(server, "ann")
        bob, from_bob = self.member(server, "bob", "ann")
        self.assertEqual(from_ann.readline(), b"* bob is here\n")
        cat, from_cat = self.member(server, "cat", "ann", "bob")
        self.assertEqual(from_ann.readline(), b"* cat is here\n")
        self.assertEqual(from_bob.readline(), b"* cat is here\n")
        return (ann, from_ann), (bob, from_bob), (cat, from_cat)

    def leave(self, *connections):
        for connection in connections:
            connection.shutdown(socket.SHUT_RDWR)

    def test_a_line_goes_to_all_the_others_and_not_back(self):
        (ann, from_ann), (bob, from_bob), (cat, from_cat) = self.room_of_three(self.start(0))
        ann.sendall(b"hello\r\n")
        self.assertEqual(from_bob.readline(), b"<ann> hello\n")
        self.assertEqual(from_cat.readline(), b"<ann> hello\n")
        bob.sendall(b"hi\nthere\n")  # Two lines in one segment.
        for lines in (from_ann, from_cat):
            self.assertEqual(lines.readline(), b"<bob> hi\n")
            self.assertEqual(lines.readline(), b"<bob> there\n")
        cat.shutdown(socket.SHUT_WR)
        self.assertEqual(from_ann.readline(), b"* cat has left\n")
        self.assertEqual(from_bob.readline(), b"* cat has left\n")
        self.assertEqual(from_cat.readline(), b"")
        self.leave(ann, bob)

    def test_a_name_is_taken_only_once(self):
        server = self.start(0)
        ann, from_ann = self.member(server, "ann")
        _, from_other = self.caller(server, "ann")
        self.assertEqual(from_other.readline(), b"* that name is taken\n")
        self.assertEqual(from_other.readline(), b"")
        bob, _ = self.member(server, "bob", "ann")
        self.assertEqual(from_ann.readline(), b"* bob is here\n")
        self.leave(ann, bob)

    def test_everybody_reads_the_same_order(self):
        (ann, from_ann), (bob, from_bob), (cat, from_cat) = self.room_of_three(self.start(0))
        count = 500
        talkers = [
            threading.Thread(target=lambda c=c: [c.sendall(b"%d\n" % i) for i in range(count)])
            for c in (ann, bob)
        ]
        for talker in talkers:
            talker.start()
        heard = [from_cat.readline() for _ in range(2 * count)]
        for talker in talkers:
            talker.join()
        for name, lines in ((b"<ann>", from_bob), (b"<bob>", from_ann)):
            expected = [b"%s %d\n" % (name, i) for i in range(count)]
            self.assertEqual([lines.readline() for _ in range(count)], expected)
            self.assertEqual([line for line in heard if line.startswith(name)], expected)
        self.leave(ann, bob, cat)

    def test_a_member_who_does_not_read_is_cut_off_and_stalls_nobody(self):
        (ann, _), (bob, from_bob), (cat, from_cat) = self.room_of_three(self.start(0))
        line = b"x" * 400 + b"\n"
        batch = 50
        cut_off = False
        for _ in range(5000):  # 100 MB: more than any kernel holds back for one who does not read.
            ann.sendall(line * batch)
            for _ in range(batch):  # Bob keeps up, and is never in danger.
                text = from_bob.readline()
                if text == b"* cat has left\n":
                    cut_off = True
                    text = from_bob.readline()
                self.assertEqual(text, b"<ann> " + line)
            if cut_off:
                break
        self.assertTrue(cut_off)
        try:
            while from_cat.readline():
                pass
        except ConnectionResetError:
            pass
        self.leave(ann, bob)
        cat.close()

    def test_a_line_without_end_is_not_collected_for_ever(self):
        server = self.start(0)
        ann, lines = self.member(server, "ann")
        ann.sendall(b"x" * 4096)
        self.assert_ended(lines)

    @staticmethod
    def introduces_itself(client):
        client.sendall(b"%d\n" % client.getsockname()[1])
        heard = b""
        while b"* here:" not in heard:
            heard += client.recv(1 << 16)

    def test_a_signal_ends_it_and_its_members(self):
        self.check_stops(self.introduces_itself, 0)

    def assert_ended(self, lines):
        try:
            self.assertEqual(lines.readline(), b"")
        except ConnectionResetError:
            pass


if __name__ == "__main__":
    example.main()
