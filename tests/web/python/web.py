"""A web server that tells what it was asked, and echoes what comes over a WebSocket (RFC 6455).

It prints its port, and serves until its standard input ends.
"""

import base64
import hashlib
import json
import os
import socket
import sys
import threading


def lines(stream):
    head = []
    while True:
        line = stream.readline(1 << 20)
        if not line:
            return None
        line = line.rstrip(b"\r\n").decode("latin-1")
        if not line:
            return head
        head.append(line)


def chunks(stream):
    """The chunks of a body, and then its trailers."""
    while True:
        size = int(stream.readline().split(b";")[0], 16)
        if size == 0:
            trailers = lines(stream)
            return [] if trailers is None else trailers
        left = size
        while left:
            data = stream.read(min(left, 1 << 16))
            if not data:
                raise EOFError("in a chunk")
            left -= len(data)
            yield data
        stream.readline()


class Body:
    def __init__(self, stream, fields):
        self.trailers = []
        self.digest, self.length = hashlib.sha256(), 0
        if fields.get("transfer-encoding", "") == "chunked":
            walk = chunks(stream)
            while True:
                try:
                    self.take(next(walk))
                except StopIteration as end:
                    self.trailers = end.value or []
                    break
        left = int(fields.get("content-length", "0"))
        while left:
            data = stream.read(min(left, 1 << 16))
            if not data:
                raise EOFError("in a body")
            left -= len(data)
            self.take(data)

    def take(self, data):
        self.length += len(data)
        self.digest.update(data)


def answer(stream, status, body, kind="application/json", more=""):
    if isinstance(body, str):
        body = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    stream.write(head.encode() + body)
    stream.flush()


# The page has loaded once its picture is there, and that waits until the page has said that it is done.
PAGE = """<!DOCTYPE html><title>start</title><p id=p>page</p><img src=/wait alt=""><script>
const done = text => { p.textContent = text; fetch('/done'); };
const ws = new WebSocket(`wss://${location.host}/ws`);
ws.onopen = () => ws.send('through the vestibule');
ws.onmessage = e => done(`echo: ${e.data} at ${location.href}`);
ws.onerror = () => done('no WebSocket');
</script>"""
DONE = threading.Event()


def web_socket(stream, fields):
    magic = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(magic.encode()).digest()).decode()
    stream.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    stream.flush()
    while True:
        head = stream.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            return
        length = head[1] & 127
        if length == 126:
            length = int.from_bytes(stream.read(2), "big")
        mask = stream.read(4)
        data = bytes(b ^ mask[n % 4] for n, b in enumerate(stream.read(length)))
        stream.write(bytes([0x81, length]) + data)
        stream.flush()


def serve(connection):
    stream = connection.makefile("rwb")
    served = 0
    try:
        while True:
            head = lines(stream)
            if not head:
                return
            served += 1
            method, target, _ = head[0].split(" ", 2)
            pairs = [tuple(part.strip() for part in line.split(":", 1)) for line in head[1:]]
            fields = {name.lower(): value for name, value in pairs}
            if fields.get("upgrade", "").lower() == "websocket":
                return web_socket(stream, fields)
            if target == "/early":
                answer(stream, "413 Content Too Large", "too much", more="Connection: close\r\n")
                return
            if fields.get("expect") == "100-continue":
                if target == "/refused":
                    answer(stream, "401 Unauthorized", "no")
                    return
                stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                stream.flush()
            body = Body(stream, fields)
            if target == "/wait":
                DONE.wait(30)
                answer(stream, "404 Not Found", "there is no picture")
            elif target == "/done":
                DONE.set()
                answer(stream, "200 OK", "{}")
            elif target == "/page":
                answer(stream, "200 OK", PAGE, "text/html")
            elif target == "/trailers":
                stream.write(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                    b"5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
                )
                stream.flush()
            else:
                told = {
                    "method": method,
                    "target": target,
                    "fields": pairs,
                    "length": body.length,
                    "sha256": body.digest.hexdigest(),
                    "trailers": body.trailers,
                    "served": served,
                }
                answer(stream, "200 OK", json.dumps(told), more="Keep-Alive: timeout=5\r\nX-Hop: 1\r\nConnection: x-hop\r\n")
    except (EOFError, OSError, ValueError) as error:
        print(f"broken off: {error}", file=sys.stderr, flush=True)
    finally:
        connection.close()


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)

    def accept():
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main()
