"""A web server that thinks before it answers: page /N comes after a delay, for any number at once.

    slow_server.py [DELAY]      0.5 seconds when left out

Prints its address, then serves until it is ended. One process, one asyncio loop: as a partner of
many clients it must not be the one that is slow by accident.
"""

import asyncio
import hashlib
import sys


def page(number):
    """The page's bytes, about 2 KB, another for each number."""
    line = hashlib.sha256(str(number).encode()).hexdigest()
    return f"page {number}\n{line * 32}\n".encode()


async def serve(delay):
    async def answer(reader, writer):
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(delay)
            body = page(int(request.split()[1].rpartition(b"/")[2]))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) if len(sys.argv) > 1 else 0.5))
