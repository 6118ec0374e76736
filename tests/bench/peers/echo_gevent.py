#!/usr/bin/python3
"""echo_threads.c for gevent: a greenlet for each connection."""

import gevent.server


def serve(connection, _):
    while piece := connection.recv(4096):
        connection.sendall(piece)


server = gevent.server.StreamServer(("127.0.0.1", 0), serve, backlog=4096)
server.start()
print("port", server.server_port, flush=True)
server.serve_forever()
