"""resp_server: serves redis-benchmark and redis-cli, and no client gets more than its share."""

import csv
import re
import socket

import example

PING = b"*1\r\n$4\r\nPING\r\n"


def command(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class RespServer(example.ExampleTest):
    def ask(self, client, request, answer):
        client.sendall(request)
        self.assertEqual(example.read_exactly(client, len(answer)), answer)

    def refused(self, request, server):
        """What the server says before it ends the connection by itself."""
        client = self.connect(server)
        client.sendall(request)
        answer = example.read_to_end(client)
        client.close()
        return answer

    def test_redis_benchmark_runs_to_its_end(self):
        server = self.start(0)
        for pipeline in (1, 16):
            report = self.run_client(
                example.tool("redis-benchmark"), "-p", server.port, "-c", 20, "-n", 2000, "-P",
                pipeline, "-r", 100, "-q", "--csv", "-t",
                "ping,set,get,incr,lpush,rpush,lpop,rpop,lrange_100,mset").decode()
            rates = {re.split("[ _]", row["test"])[0]: row["rps"]
                     for row in csv.DictReader(report.splitlines())}
            for name in ("PING", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "LRANGE",
                         "MSET"):
                self.assertGreater(float(rates.get(name, 0)), 0, report)

    def test_redis_cli_reads_what_it_wrote(self):
        server = self.start(0)

        def cli(*words):
            return self.run_client(example.tool("redis-cli"), "-p", server.port, *words).decode()

        self.assertEqual(cli("set", "greeting", "hello"), "OK\n")
        self.assertEqual(cli("get", "greeting"), "hello\n")
        self.assertEqual(cli("rpush", "list", "a", "b", "c"), "3\n")
        self.assertEqual(cli("lrange", "list", "0", "-1"), "a\nb\nc\n")
        self.assertEqual(cli("incr", "greeting"),
                         "ERR value is not an integer or out of range\n\n")
        self.assertEqual(cli("dbsize"), "2\n")

    def test_each_command(self):
        client = self.connect(self.start(0))
        wrong_type = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
        for request, answer in (
                (command("ping", "x"), b"$1\r\nx\r\n"),
                (command("ECHO", b"\0\r\n"), b"$3\r\n\0\r\n\r\n"),
                (command("GET", "k"), b"$-1\r\n"), (command("SET", "k", "v", "XX"), b"$-1\r\n"),
                (command("SET", "k", "v", "NX"), b"+OK\r\n"),
                (command("SET", "k", "w", "NX"), b"$-1\r\n"),
                (command("SET", "k", "w", "EX"), b"-ERR syntax error\r\n"),
                (command("MSET", "a", 1, "b", 2), b"+OK\r\n"),
                (command("MGET", "a", "x", "b"), b"*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n"),
                (command("INCR", "a"), b":2\r\n"), (command("DECR", "new"), b":-1\r\n"),
                (command("INCRBY", "a", -5), b":-3\r\n"),
                (command("SET", "max", 2**63 - 1), b"+OK\r\n"),
                (command("INCR", "max"), b"-ERR value is not an integer or out of range\r\n"),
                (command("EXISTS", "a", "b", "x"), b":2\r\n"),
                (command("DEL", "a", "x"), b":1\r\n"),
                (command("LPUSH", "l", 1, 2, 3), b":3\r\n"), (command("RPUSH", "l", 4), b":4\r\n"),
                (command("LRANGE", "l", 1, -2), b"*2\r\n$1\r\n2\r\n$1\r\n1\r\n"),
                (command("LRANGE", "l", 3, 1), b"*0\r\n"), (command("LLEN", "l"), b":4\r\n"),
                (command("GET", "l"), wrong_type), (command("LPOP", "k"), wrong_type),
                (command("LPOP", "l"), b"$1\r\n3\r\n"), (command("RPOP", "l"), b"$1\r\n4\r\n"),
                (command("LPOP", "l") * 2, b"$1\r\n2\r\n$1\r\n1\r\n"),
                (command("LPOP", "l"), b"$-1\r\n"), (command("EXISTS", "l"), b":0\r\n"),
                (command("FLUSHALL"), b"+OK\r\n"), (command("DBSIZE"), b":0\r\n"),
                (command("GET"), b"-ERR wrong number of arguments\r\n"),
                (command("NONSENSE"), b"-ERR unknown command\r\n"),
                (b"*0\r\n*-1\r\n\r\nset  i 1 \r\nget i\n", b"+OK\r\n$1\r\n1\r\n")):
            with self.subTest(request=request):
                self.ask(client, request, answer)
        client.close()

    def test_a_command_may_be_cut_anywhere(self):
        server = self.start(0)
        request = command("SET", "key", b"a\r\n*1") + command("GET", "key")
        for cut in range(1, len(request)):
            client = self.connect(server)
            client.sendall(request[:cut])
            self.ask(client, request[cut:], b"+OK\r\n$5\r\na\r\n*1\r\n")
            client.close()

    def test_a_large_value_and_a_long_pipeline(self):
        client = self.connect(self.start(0))
        value = bytes(range(256)) * 4000
        self.ask(client, command("SET", "large", value), b"+OK\r\n")
        self.ask(client, command("GET", "large"), b"$%d\r\n%s\r\n" % (len(value), value))
        client.sendall(PING * 50000)
        self.assertEqual(example.read_exactly(client, 7 * 50000), b"+PONG\r\n" * 50000)
        client.close()

    def test_what_is_no_command_is_refused(self):
        server = self.start(0)
        for request in (b"*1025\r\n", b"*x\r\n", b"*" + b"9" * 40, b"*1\r\n:1\r\n",
                        b"*1\r\n$-1\r\n", b"*1\r\n$1048577\r\n", b"*1\r\n$1\r\nxyz", b"x" * 70000,
                        b"*5\r\n" + b"$1000000\r\n" + (b"x" * 1000000 + b"\r\n$1000000\r\n") * 4):
            with self.subTest(request=request[:40]):
                self.assertRegex(self.refused(request, server), b"^-ERR Protocol error: .*\r\n$")

    def test_a_reply_that_is_too_long_is_an_error_and_the_next_one_comes(self):
        client = self.connect(self.start(0))
        self.ask(client, command("SET", "k", b"x" * 1_000_000), b"+OK\r\n")
        self.ask(client, command("MGET", *["k"] * 1000) + PING,
                 b"-ERR the reply is too long\r\n+PONG\r\n")
        client.close()

    def test_the_store_is_never_more_than_full(self):
        server = self.start(0)
        client = self.connect(server)
        lines = client.makefile("rb")
        self.addCleanup(lines.close)
        value = b"x" * 1_000_000
        answers = []
        for number in range(300):
            client.sendall(command("SET", f"key{number}", value))
            answers.append(lines.readline())
        self.assertEqual(answers[200], b"+OK\r\n")
        self.assertEqual(answers[-1], b"-OOM command not allowed: the store is full\r\n")
        if not server.is_sanitized():  # A sanitizer remembers far more than there is.
            self.assertLess(server.resident_bytes(), 400 << 20)
        # What is deleted makes room again.
        self.ask(client, command("FLUSHALL") + command("SET", "k", "v"), b"+OK\r\n+OK\r\n")
        self.ask(client, command("GET", "k"), b"$1\r\nv\r\n")
        client.close()

    def test_random_bytes_harm_nobody_else(self):
        server = self.start(0)
        witness = self.connect(server)
        numbers = example.random_numbers(11)
        pieces = (b"*", b"$", b"1", b"3", b"-1", b"\r\n", b"\n", b"SET", b"GET", b"LPUSH", b"k",
                  b" ", b"LRANGE", b"\0", b"\xff", PING)
        for _ in range(300):
            client = self.connect(server)
            client.sendall(b"".join(numbers.choice(pieces) for _ in range(numbers.randrange(40))))
            client.shutdown(socket.SHUT_WR)
            example.read_to_end(client)
            client.close()
        self.ask(witness, PING, b"+PONG\r\n")
        witness.close()

    @staticmethod
    def pings(client):
        client.sendall(PING)
        return client.recv(16) == b"+PONG\r\n"

    def test_it_survives_without_memory_for_stacks(self):
        self.check_survives_without_stacks(self.pings)

    def test_a_signal_ends_it(self):
        self.check_stops(self.pings, 0)


if __name__ == "__main__":
    example.main()
