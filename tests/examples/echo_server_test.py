"""echo_server: returns what it is sent, to nc, to socat, and to many at once."""

import os
import resource
import socket
import sys
import threading
import time

import example


class EchoServer(example.ExampleTest):
    def test_nc_reads_back_what_it_wrote(self):
        server = self.start(0)
        text = b"one\ntwo\n"
        self.assertEqual(
            self.run_client(example.tool("nc"), "-N", "127.0.0.1", server.port, send=text), text)

    def test_socat_reads_back_eight_mebibytes(self):
        server = self.start(0)
        data = os.urandom(8 << 20)
        echoed = self.run_client(
            example.tool("socat"), "-t", example.PATIENCE_S, "-", f"TCP:127.0.0.1:{server.port}",
            send=data)
        self.assertTrue(echoed == data, f"{len(echoed)} bytes came back, or not the same")

    def test_two_hundred_clients_take_turns(self):
        server = self.start(0)
        clients = [self.connect(server) for _ in range(200)]
        for turn in range(5):
            for number, client in enumerate(clients):
                client.sendall(b"turn %d of client %03d\n" % (turn, number))
            for number, client in enumerate(clients):
                expected = b"turn %d of client %03d\n" % (turn, number)
                self.assertEqual(example.read_exactly(client, len(expected)), expected)
        for client in clients:
            client.close()

    def test_one_byte_at_a_time(self):
        client = self.connect(self.start(0))
        for byte in b"drip drip drip":
            client.sendall(bytes([byte]))
            self.assertEqual(example.read_exactly(client, 1), bytes([byte]))
        client.close()

    def test_a_half_closed_client_gets_the_rest(self):
        client = self.connect(self.start(0))
        data = os.urandom(3 << 20)

        def send():
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        echoed = example.read_to_end(client)
        sender.join()
        self.assertTrue(echoed == data)
        client.close()

    def test_resets_and_silent_goodbyes_harm_nobody_else(self):
        server = self.start(0)
        witness = self.connect(server)
        for number in range(100):
            client = self.connect(server)
            if number % 2 == 0:
                client.sendall(b"never read")
            example.reset(client) if number % 3 else client.close()
        witness.sendall(b"still here")
        self.assertEqual(example.read_exactly(witness, 10), b"still here")
        witness.close()

    def test_it_accepts_again_when_descriptors_are_back(self):
        server = self.start(0)
        limit = server.open_at_start + 8
        resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE, (limit, limit))
        clients = [self.connect(server) for _ in range(12)]  # The last four wait in the backlog.
        for client in clients:
            client.sendall(b"x")
        for client in clients[:8]:
            self.assertEqual(example.read_exactly(client, 1), b"x")
        example.eventually(lambda: server.open_fds() == limit, "the limit is reached")
        time.sleep(0.3)
        for client in clients[:8]:
            client.close()
        for client in clients[8:]:
            self.assertEqual(example.read_exactly(client, 1), b"x")
            client.close()

    @staticmethod
    def echoes(client):
        client.sendall(b"x")
        return client.recv(1) == b"x"

    def test_request_stop_ends_it(self):
        self.check_stops(self.echoes, 0, program=stoppable)

    def test_a_signal_ends_it(self):
        self.check_stops(self.echoes, 0, status=None)

    def test_it_survives_without_memory_for_stacks(self):
        self.check_survives_without_stacks(self.echoes)

    def test_a_port_that_is_taken_is_named(self):
        server = self.start(0)
        child = example.Process(example.binary, server.port)
        try:
            self.assertNotEqual(child.wait(), 0)
            self.assertIn(f"bind 127.0.0.1:{server.port}: Address already in use", child.said())
        finally:
            child.stop()


stoppable = ""

if __name__ == "__main__":
    stoppable = sys.argv.pop(2)
    example.main()
