"""The same server as server.c, as one would write it in Python: a thread for each connection.

    /usr/bin/python3 server.py DESCRIPTORS IDLE_SECONDS

The first byte chooses nothing but '?' here; the rest of the protocol is told in server.c.
"""

import resource
import signal
import socketserver
import struct
import sys
import threading
import zlib

TURNED = bytes(byte ^ 0x5a for byte in range(256))
lock = threading.Lock()
serving = served = 0


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        global serving, served
        with lock:
            serving += 1
        asks = False
        try:
            self.request.settimeout(float(sys.argv[2]))
            asks = self.request.recv(1) == b"?"
            if not asks:
                self.echo()
        except OSError:
            pass
        with lock:
            serving -= 1
            served += 1
        if asks:
            self.request.sendall(b"%d %d 0\n" % (serving, served))

    def echo(self):
        count, checksum = 0, 1
        while data := self.request.recv(8192):
            count += len(data)
            checksum = zlib.adler32(data, checksum)
            self.request.sendall(data.translate(TURNED))
        self.request.sendall(struct.pack("<QI4x", count, checksum))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()
