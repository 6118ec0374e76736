"""A TLS server with a thread for each connection, which also makes the handshake.

    tls_server.py CERTIFICATE      prints its port

Over HTTP, GET /MS/SIZE answers SIZE letters after MS milliseconds (ranges are understood). A first
line "COUNT" is answered with the number of bytes that follow it, when the client has closed its half.
"""

import re
import socketserver
import ssl
import sys
import time


def page(size):
    return (b"abcdefghijklmnopqrstuvwxyz0123456789\n" * (size // 37 + 1))[:size]


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            with self.server.context.wrap_socket(self.request, server_side=True) as connection:
                self.talk(connection)
                connection.settimeout(5)
                connection.unwrap()
        except OSError:
            pass  # a handshake that failed, a client that went away

    def talk(self, connection):
        lines = connection.makefile("rb")
        while first := lines.readline():
            if first == b"COUNT\n":
                connection.sendall(b"%d\n" % len(lines.read()))
                return
            head = first
            while (line := lines.readline()) not in (b"\r\n", b"\n", b""):
                head += line
            connection.sendall(self.answer(head))
            if b"\nConnection: close" in head:
                return

    def answer(self, head):
        words = [word for word in head.split()[1].split(b"/") if word]
        time.sleep(int(words[0]) / 1000 if words else 0)
        body = page(int(words[1]) if len(words) > 1 else 20)
        status = b"200 OK"
        extra = b""
        wanted = re.search(rb"\nRange: bytes=(\d+)-(\d*)", head)
        if wanted:
            start, end = int(wanted[1]), int(wanted[2] or len(body) - 1)
            extra = b"Content-Range: bytes %d-%d/%d\r\n" % (start, end, len(body))
            body = body[start:end + 1]
            status = b"206 Partial Content"
        return (b"HTTP/1.1 %s\r\nContent-Length: %d\r\nAccept-Ranges: bytes\r\n%s\r\n" %
                (status, len(body), extra) + (b"" if head.startswith(b"HEAD") else body))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 1024


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(sys.argv[1])
    print(server.server_address[1], flush=True)
    server.serve_forever()
