"""own_loop: an echo without fibers, that ends after so many connections or on a signal."""

import os
import signal
import socket
import threading

import example


class OwnLoop(example.ExampleTest):
    def test_nc_reads_back_what_it_wrote(self):
        server = self.start(0)
        text = b"one\ntwo\n"
        self.assertEqual(
            self.run_client(example.tool("nc"), "-N", "127.0.0.1", server.port, send=text), text)

    def test_a_client_that_reads_late_gets_everything(self):
        client = self.connect(self.start(0))
        data = os.urandom(16 << 20)  # More than the buffers between the two hold.
        sender = threading.Thread(
            target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        echoed = example.read_to_end(client)
        sender.join()
        self.assertTrue(echoed == data)
        client.close()

    def test_a_hundred_clients_at_once(self):
        server = self.start(0)
        clients = [self.connect(server) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(b"client %03d" % number)
        for number, client in enumerate(clients):
            self.assertEqual(example.read_exactly(client, 10), b"client %03d" % number)
        for client in clients:
            example.reset(client)

    def test_it_ends_after_the_last_of_three_connections(self):
        server = self.start(0, 3)
        clients = [self.connect(server) for _ in range(3)]
        for client in clients:
            client.sendall(b"x")
            self.assertEqual(example.read_exactly(client, 1), b"x")
        self.assertIsNone(server.child.poll())
        for client in clients:
            client.close()
        self.assertEqual(server.wait(), 0, server.said())

    def test_a_signal_ends_it_and_its_connections(self):
        server = self.start(0)
        clients = [self.connect(server) for _ in range(3)]
        for client in clients:
            client.sendall(b"x")
            self.assertEqual(example.read_exactly(client, 1), b"x")
        server.child.send_signal(signal.SIGTERM)
        for client in clients:
            self.assertEqual(client.recv(1), b"")
        self.assertEqual(server.wait(), 0, server.said())

    def test_a_backend_that_cannot_be_nested_is_refused_in_a_sentence(self):
        child = example.Process("env", "REARM_BACKEND=poll", example.binary, 0)
        try:
            self.assertEqual(child.wait(), 1)
            self.assertIn("poll has no descriptor of its own to nest", child.said())
        finally:
            child.stop()


if __name__ == "__main__":
    example.main()
