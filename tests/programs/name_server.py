"""A name server for the tests: a zone whose names say how they are answered.

The first label of a name below `test.` is a list of words joined by `-`; those it does not know
only make names different:

    aN, bN     N addresses (A, AAAA); a name without either has one A record
    cN         behind a chain of N aliases          loop       an alias of itself
    slowN      after N/100 s                        big        the whole is 30 addresses, so
                                                               truncated by UDP, or not (bigudp)
    lost       every other question is dropped      never      all of them are
    lost6      no answer for AAAA                   slow6      AAAA comes later than A
    nx empty servfail refused notimp formerr        those answers; nx6, servfail6 ...: for AAAA only
    bare       refused without the question         lame       no answer, no authority, no recursion
    wrongid    an answer with a wrong id, then ...  wrongname  ... with a wrong question, then ours
    short      five bytes                           trunc      truncated by UDP, short by TCP
    cutN       the TCP connection is closed after N bytes; reset: reset
    upper      the owner's name comes back in capitals

Reverse names of 10.9.a.b answer `host-a-b.test`. The rest does not exist.
"""

import heapq
import itertools
import re
import selectors
import socket
import struct
import threading
import time

A, PTR, CNAME, SOA, AAAA, OPT = 1, 12, 5, 6, 28, 41
CODES = {"formerr": 1, "servfail": 2, "nx": 3, "notimp": 4, "refused": 5}


def encode(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def decode(message, at):
    labels = []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += message[at] + 1
    return ".".join(labels), at + 1


def record(name, kind, data, ttl=60):
    return encode(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


class Server:
    """Answers on 127.0.0.x (and ::1) port 53 until it is closed."""

    def __init__(self, address="127.0.0.1", words=(), port=53):
        self.words = list(words)  # how every question is treated
        self.questions = []  # (time, name, type, by TCP)
        self.turns = {}
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.bind((address, port))
        self.tcp = socket.socket(family, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, port))
        self.tcp.listen(500)
        for one in (self.udp, self.tcp):
            one.setblocking(False)
        self.later, self.number = [], itertools.count()
        self.stop_pipe = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_pipe[0].send(b"x")
        self.thread.join()

    # ---- what is answered ----

    def _turn(self, key):
        self.turns[key] = self.turns.get(key, 0) + 1
        return self.turns[key]

    def _answers(self, message, by_tcp):
        """The messages that answer one question: a list of (delay, bytes)."""
        name, at = decode(message, 12)
        kind, _ = struct.unpack_from("!HH", message, at)
        end = at + 4
        self.questions.append((time.monotonic(), name.lower(), kind, by_tcp))
        number, question = message[:2], message[12:end]
        edns = struct.unpack_from("!H", message, 10)[0] > 0

        def reply(records=(), code=0, flags=0x8480, question=question, number=number, extra=b""):
            return (number + struct.pack("!HHHHH", flags | (message[2] & 1) << 8 | code,
                                         1 if question else 0, len(records), 0, 1 if extra else 0)
                    + question + b"".join(records) + extra)

        labels = name.lower().split(".")
        if labels[-2:] == ["in-addr", "arpa"] or labels[-2:] == ["ip6", "arpa"]:
            return [(0, self._reverse(name, labels, kind, reply))]
        words = labels[0].split("-") + self.words
        if labels[-1] != "test" or len(labels) < 2:
            return [(0, reply(code=3))]
        if "search" in labels and "found" not in words:
            return [(0, reply(code=3))]
        counts = {word[0]: int(word[1:]) for word in words if re.fullmatch("[abc][0-9]+", word)}
        delay = sum(int(word[4:]) / 100 for word in words if re.fullmatch("slow[0-9]{2,}", word))
        if "slow6" in words and kind == AAAA:
            delay += 0.15
        if "never" in words or "lost6" in words and kind == AAAA:
            return []
        if "lost" in words and self._turn((name, kind)) % 2 == 1:
            return []
        for word, code in CODES.items():
            if word in words or word + "6" in words and kind == AAAA or (
                    word + "4" in words and kind == A):
                if word in ("servfail", "refused") and "bare" in words:
                    return [(delay, reply(code=code, question=b""))]
                return [(delay, reply(code=code))]
        if "lame" in words:
            return [(delay, reply(flags=0x8000))]
        if "empty" in words or "empty6" in words and kind == AAAA:
            return [(delay, reply())]
        records = []
        owner = name
        if "loop" in words:
            records.append(record(owner, CNAME, encode(owner)))
        for step in range(counts.get("c", 0)):
            target = f"alias{step}.{'.'.join(labels[1:])}"
            records.append(record(owner, CNAME, encode(target)))
            owner = target
        if "upper" in words:
            owner = owner.upper()
        big = "big" in words or "bigudp" in words
        few = (0 if "b" in counts else 1)
        if kind == A:
            count = 30 if big else counts.get("a", few)
            records += [record(owner, A, bytes([10, 9, i, len(labels[0])])) for i in range(count)]
        if kind == AAAA:
            count = 30 if big else counts.get("b", 0)
            records += [record(owner, AAAA, b"\xfd" + bytes(13) + bytes([i, len(labels[0])]))
                        for i in range(count)]
        extra = b"\0" + struct.pack("!HHIH", OPT, 1232, 0, 0) if edns else b""
        whole = reply(records, extra=extra)
        if "ad" in words:
            whole = reply(records, flags=0x84a0, extra=extra)
        if not by_tcp and ("trunc" in words or "big" in words and len(whole) > 512):
            return [(delay, reply(flags=0x8680))]
        first = []
        if not by_tcp:
            if "wrongid" in words:
                first.append((delay, bytes([number[0] ^ 1]) + whole[1:]))
            if "wrongname" in words:
                other = reply([record("other.test", A, b"\1\2\3\4")],
                              question=encode("other.test") + struct.pack("!HH", kind, 1))
                first.append((delay, other))
            if "short" in words:
                return [(delay, number + b"\x84\x80\0")]
        return first + [(delay, whole)]

    @staticmethod
    def _reverse(name, labels, kind, reply):
        if labels[-1] == "arpa" and labels[-2] == "in-addr" and labels[2:4] == ["9", "10"]:
            if kind != PTR:
                return reply()
            names = [f"host-{labels[1]}-{labels[0]}.test"]
            if labels[1] == "2":
                names.append("second.test")
            return reply([record(name, PTR, encode(one)) for one in names])
        return reply(code=3)

    # ---- how it is sent ----

    def _send_later(self, delay, send):
        if delay <= 0:
            send()
        else:
            heapq.heappush(self.later, (time.monotonic() + delay, next(self.number), send))

    def _udp_ready(self):
        for _ in range(100):
            try:
                message, peer = self.udp.recvfrom(4096)
            except BlockingIOError:
                return
            if len(message) < 17:
                continue
            for delay, answer in self._answers(message, False):
                self._send_later(delay, lambda a=answer, p=peer: self.udp.sendto(a, p))

    def _tcp_ready(self, connection, chunks):
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            return False
        chunks += data
        while len(chunks) >= 2:
            size = struct.unpack_from("!H", chunks)[0]
            if len(chunks) < size + 2:
                return True
            message = bytes(chunks[2:size + 2])
            del chunks[:size + 2]
            words = decode(message, 12)[0].split(".")[0].split("-")
            cut = [int(word[3:]) for word in words if re.fullmatch("cut[0-9]+", word)]
            if "reset" in words:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack("ii", 1, 0))
                return False
            for delay, answer in self._answers(message, True):
                whole = struct.pack("!H", len(answer)) + answer
                if cut:
                    connection.sendall(whole[:cut[0]])
                    return False
                self._send_later(delay, lambda w=whole: self._tcp_send(connection, w))
        return True

    @staticmethod
    def _tcp_send(connection, data):
        try:
            connection.sendall(data)
        except OSError:
            pass

    def _serve(self):
        with selectors.DefaultSelector() as ready:
            for one in (self.udp, self.tcp, self.stop_pipe[1]):
                ready.register(one, selectors.EVENT_READ)
            while True:
                wait = self.later[0][0] - time.monotonic() if self.later else None
                for key, _ in ready.select(None if wait is None else max(0, wait)):
                    if key.fileobj is self.udp:
                        self._udp_ready()
                    elif key.fileobj is self.tcp:
                        connection, _ = self.tcp.accept()
                        ready.register(connection, selectors.EVENT_READ, bytearray())
                    elif key.fileobj is self.stop_pipe[1]:
                        for one in (self.udp, self.tcp, *self.stop_pipe):
                            one.close()
                        return
                    elif not self._tcp_ready(key.fileobj, key.data):
                        ready.unregister(key.fileobj)
                        key.fileobj.close()
                while self.later and self.later[0][0] <= time.monotonic():
                    heapq.heappop(self.later)[2]()
