"""Visitors of the server in server.c: connections that behave in every bad way there is.

    /usr/bin/python3 visitors.py PORT SEED SECONDS AT_ONCE

Each of AT_ONCE visitors makes one connection after the other. A connection sends up to a few
hundred kilobytes in pieces and pauses, and reads in pieces and pauses; some stay silent, some stop
reading for a while, some end by a reset or a close with data unread at any point of it. Whatever
came back must be the beginning of what was sent, turned by 0x5a, no byte more and none less; who
stays to the end gets all of it, and a trailer that says what the server saw. A wrong byte, or a
server that leaves before its visitor, ends the process with status 1 and a line on stderr; in the
end the counts are printed as JSON. scripts/soak starts several of these, stops and kills them.
"""

import asyncio
import json
import os
import random
import socket
import struct
import sys
import time
import zlib

TURNED = bytes(byte ^ 0x5a for byte in range(256))
PATIENCE = 90  # seconds that a whole visit may take, far above what it should
counts = {"whole": 0, "silent": 0, "reset": 0, "gone": 0, "bytes": 0}


class Wrong(Exception):
    """The server did what it must not."""


async def send(connection, data, chance, stop_after):
    loop = asyncio.get_running_loop()
    done = 0
    while done < stop_after:
        size = min(chance.choice((1, 100, 1400, 5000, 30000)), stop_after - done)
        await loop.sock_sendall(connection, data[done:done + size])
        done += size
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() * 0.1)
    return done


async def receive(connection, expected, chance, slow):
    """Reads to the end; True if all that was expected came."""
    loop = asyncio.get_running_loop()
    done = 0
    while True:
        data = await loop.sock_recv(connection, chance.choice((1, 300, 4000, 65536)))
        if data != expected[done:done + len(data)]:
            raise Wrong(f"wrong bytes after {done} of {len(expected)}")
        done += len(data)
        counts["bytes"] += len(data)
        if not data:
            return done == len(expected)
        if chance.random() < (0.3 if slow else 0.01):
            await asyncio.sleep(chance.random() * 0.2)


async def whole(connection, data, expected, chance):
    slow = chance.random() < 0.1
    sending = asyncio.create_task(send(connection, data, chance, len(data)))
    if slow:
        await asyncio.sleep(chance.random())
    receiving = asyncio.create_task(receive(connection, expected, chance, slow))
    try:
        await sending
        connection.shutdown(socket.SHUT_WR)
        if not await receiving:
            raise Wrong("the server left before all was answered")
    except OSError as error:
        raise Wrong(f"a whole visit failed: {error}") from None
    finally:
        receiving.cancel()
    counts["whole"] += 1


async def cut_short(connection, data, expected, chance):
    """Ends anywhere: by a reset, or by a close with or without unread data."""
    receiving = asyncio.create_task(receive(connection, expected, chance, False))
    if chance.random() < 0.3:
        receiving.cancel()
    try:
        await send(connection, data, chance, chance.randrange(len(data)))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.1)
    except OSError:
        pass
    receiving.cancel()
    try:
        await receiving
    except (OSError, asyncio.CancelledError):
        pass
    if chance.random() < 0.5:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        counts["reset"] += 1
    else:
        counts["gone"] += 1


async def visit(port, chance):
    with socket.socket() as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        kind = chance.random()
        if kind < 0.1:
            await asyncio.sleep(chance.random() * 0.5)
            counts["silent"] += 1
            return
        payload = chance.randbytes(int(chance.choice((10, 1000, 50000, 300000)) * chance.random()))
        data = chance.choice(b"rpsvc").to_bytes(1, "big") + payload
        expected = payload.translate(TURNED)
        expected += struct.pack("<QI4x", len(payload), zlib.adler32(payload))
        if kind < 0.6:
            await whole(connection, data, expected, chance)
        else:
            await cut_short(connection, data, expected, chance)


async def visitor(port, seed, until):
    chance = random.Random(seed)
    number = 0
    while time.monotonic() < until:
        number += 1
        try:
            await asyncio.wait_for(visit(port, chance), PATIENCE)
        except asyncio.TimeoutError:
            raise Wrong(f"visit {number} of {seed} took over {PATIENCE} s") from None
        except Wrong as wrong:
            raise Wrong(f"visit {number} of {seed}: {wrong}") from None


async def main(port, seed, seconds, at_once):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    until = time.monotonic() + seconds
    visitors = [visitor(port, f"{seed}/{i}", until) for i in range(at_once)]
    for ended in asyncio.as_completed(visitors):
        try:
            await ended
        except (Wrong, OSError) as error:
            print(f"visitors: {error}", file=sys.stderr, flush=True)
            os._exit(1)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
    print(json.dumps(counts))
