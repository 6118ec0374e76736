"""Proxies with a thread for each connection, carrying 100 slow transfers at once.

microsocks gives its threads stacks of a few pages and resolves names on them; tinyproxy works with
poll. Clients and upstream are slow_clients.py: in the middle of its transfer each client waits
until all have come that far, then goes on. Every byte is compared.
"""

import asyncio
import os
import pwd
import signal
import struct

from harness import Program, free_port, main, needs, test, wait_for_port, write
from slow_clients import (FLIP, FarClient, Meeting, all_of, content, echo_conversation,
                          serve_upstream)

CLIENTS = 100


async def socks_client(port, upstream, number, meeting):
    client = await FarClient.connect(port, number)
    await client.send_at_once(b"\5\1\0")  # it expects each message of the protocol in one piece
    assert await client.receive(2) == b"\5\0"
    # Half of the clients let the proxy look the name up.
    address = b"\3\x09localhost" if number % 2 else b"\1\x7f\0\0\1"
    await client.send_at_once(b"\5\1\0" + address + struct.pack("!H", upstream))
    answer = await client.receive(10)
    assert answer[:2] == b"\5\0", answer
    await echo_conversation(client, number, meeting)
    client.close()


async def connect_client(port, upstream, number, meeting):
    client = await FarClient.connect(port, number)
    await client.send(b"CONNECT localhost:%d HTTP/1.0\r\n\r\n" % upstream, 9)
    head = await client.receive_line_end()
    assert head.split()[1] == b"200", head
    await echo_conversation(client, number, meeting)
    client.close()


async def web_client(port, upstream, number, meeting):
    client = await FarClient.connect(port, number)
    size = 600_000
    if number % 4:
        await client.send(b"GET http://localhost:%d/%d/%d HTTP/1.0\r\n\r\n"
                          % (upstream, number, size), 9)
        expected = content(number, size)
        await client.receive_line_end()
        first = await client.receive(20_000)
        await meeting.arrive()
    else:
        post = content(number, size // 4)
        await client.send(b"POST http://localhost:%d/ HTTP/1.0\r\nContent-Length: %d\r\n\r\n"
                          % (upstream, len(post)), 9)
        expected = post.translate(FLIP)
        await client.send(post[:10_000], 1000)
        await meeting.arrive()
        await client.send(post[10_000:], 3000)
        await client.receive_line_end()
        first = b""
    body = first + await client.receive_all()
    assert body == expected, f"client {number}: {len(body)} bytes of {len(expected)} differ"
    client.close()


async def transfers(proxy, port, one_client):
    server, upstream = await serve_upstream()
    counts = []
    meeting = Meeting(CLIENTS, lambda: counts.append(proxy.kernel_threads()))
    async with server:
        await all_of(one_client(port, upstream, number, meeting) for number in range(CLIENTS))
    print(f"{proxy.kind}: {CLIENTS} transfers at once, {counts[0]} kernel threads")
    if proxy.kind == "native":
        assert counts[0] >= CLIENTS, "the transfers were not all open at once"


@test()
def microsocks():
    needs("microsocks")
    for green in (False, True):
        port = free_port()
        with Program("microsocks", "-i", "127.0.0.1", "-p", port, green=green) as proxy:
            wait_for_port(port)
            asyncio.run(transfers(proxy, port, socks_client))
            # It does not handle SIGTERM: the signal ends it, and it leaves no counters.
            status = proxy.stop(signal.SIGTERM)
        assert status == -signal.SIGTERM, f"{proxy} ended with {status}"
        proxy.check_green(counters=False)


def tinyproxy(one_client):
    needs("tinyproxy")
    for green in (False, True):
        port = free_port()
        user = pwd.getpwuid(os.getuid()).pw_name
        config = write("tinyproxy.conf", f"User {user}\nPort {port}\nListen 127.0.0.1\nTimeout 60\n"
                                         "MaxClients 200\nLogLevel Critical\nAllow 127.0.0.1\n")
        with Program("tinyproxy", "-d", "-c", config, green=green) as proxy:
            wait_for_port(port)
            asyncio.run(transfers(proxy, port, one_client))
            status = proxy.stop(signal.SIGTERM)
        assert status == 0, f"{proxy} ended with {status}: {proxy.errors[-1000:]}"
        proxy.check_green(threads=CLIENTS)


@test()
def tinyproxy_connect():
    tinyproxy(connect_client)


@test()
def tinyproxy_web():
    tinyproxy(web_client)


main()
