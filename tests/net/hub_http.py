"""HTTP/1.1 as the test hub needs it: requests, responses, and how one is put on the wire.

Not http.server: a server that has to break every rule on command must own every byte.
"""

import os
import select
import socket
import struct
import time

REASONS = {
    200: "OK", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently", 302: "Found",
    307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout", 412: "Precondition Failed", 416: "Range Not Satisfiable",
    429: "Too Many Requests", 451: "Unavailable For Legal Reasons", 500: "Internal Server Error",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
MAX_HEAD = 64 << 10
BLOCK = 1 << 20


class Gone(Exception):
    """The connection is no more, on purpose or not."""


class Request:
    def __init__(self, origin, method, target, headers):
        self.origin = origin
        self.method = method
        self.target = target
        self.headers = headers  # names in lower case
        self.path, _, self.query = target.partition("?")
        self.body = b""

    def get(self, name, default=None):
        return self.headers.get(name, default)


def read_request(conn, origin, pending):
    """The next request and what follows it on the connection; None at its end."""
    while b"\r\n\r\n" not in pending:
        if len(pending) > MAX_HEAD:
            raise Gone
        more = conn.recv(65536)
        if not more:
            return None, b""
        pending += more
    head, _, pending = pending.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Gone
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    request = Request(origin, words[0], words[1], headers)
    length = int(headers.get("content-length", 0))
    while len(pending) < length:
        more = conn.recv(65536)
        if not more:
            raise Gone
        pending += more
    request.body, pending = pending[:length], pending[length:]
    if words[2] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return request, pending


class Body:
    """Bytes, or a range of a file; `flips` are the positions in it of bits that travel wrong."""

    def __init__(self, data=b"", where=None, off=0, nbytes=None):
        self.data = data
        self.where = where
        self.off = off
        self.nbytes = len(data) if where is None else nbytes
        self.flips = []

    def whole(self):
        if self.where is None:
            return self.data[: self.nbytes]
        with open(self.where, "rb") as f:
            f.seek(self.off)
            return f.read(self.nbytes)


class Response:
    """What will be answered. Faults rewrite it, or say how its sending goes wrong."""

    def __init__(self, status, headers=(), body=None):
        self.status = status
        self.headers = list(headers)
        self.body = body or Body()
        self.file = None  # of the hub, when its bytes are the body
        self.total = None  # size of what Range chooses from
        self.raw_head = None  # instead of status and headers
        self.before = b""  # interim answers
        self.cut_head = None  # bytes of the head after which the connection ends
        self.cut_body = None  # bytes of the body after which it does
        self.cut_how = "close"  # or "reset", "stall"
        self.pace = None  # bytes a second
        self.encode = None  # of the whole body: bytes -> bytes, no Content-Length
        self.close = False  # after this answer
        self.close_silently = False  # without saying so beforehand
        self.hook = None  # called when it was sent

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    def set(self, name, value):
        self.drop(name)
        self.headers.append((name, str(value)))

    def drop(self, name):
        self.headers = [h for h in self.headers if h[0].lower() != name.lower()]

    def replace(self, status, data=b"", kind="text/plain", headers=()):
        """Become another answer altogether."""
        self.status = status
        self.headers = [("Content-Type", kind), *headers, ("Content-Length", str(len(data)))]
        self.body = Body(data)
        self.file = self.total = None

    def head(self):
        if self.raw_head is not None:
            return self.raw_head
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Wire:
    """One connection, and the ways in which it can end."""

    def __init__(self, conn):
        self.conn = conn
        self.sent = 0  # bytes of the body of the answer under way

    def _hang_up(self, how):
        if how == "stall":  # until the client has enough of it
            until = time.monotonic() + 120
            while time.monotonic() < until:
                if select.select([self.conn], [], [], 1)[0] and not self.conn.recv(65536):
                    break
        if how == "reset":
            self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def _pieces(self, body, limit):
        """(position, bytes) of the body up to `limit`, with its flips."""
        end = min(body.nbytes, limit)
        f = open(body.where, "rb", buffering=0) if body.where else None
        try:
            pos = 0
            while pos < end:
                n = min(BLOCK, end - pos)
                if f:
                    f.seek(body.off + pos)
                    piece = f.read(n)
                    if not piece:
                        raise Gone
                else:
                    piece = body.data[pos : pos + n]
                flips = [p - pos for p in body.flips if pos <= p < pos + len(piece)]
                if flips:
                    piece = bytearray(piece)
                    for p in flips:
                        piece[p] ^= 0x10
                yield bytes(piece)
                pos += len(piece)
        finally:
            if f:
                f.close()

    def _paced(self, data, pace):
        if not pace:
            self.conn.sendall(data)
            self.sent += len(data)
            return
        for i in range(0, len(data), max(1, pace // 10)):
            piece = data[i : i + max(1, pace // 10)]
            self.conn.sendall(piece)
            self.sent += len(piece)
            time.sleep(len(piece) / pace)

    def _send_file(self, body, end):
        """Straight from the page cache."""
        with open(body.where, "rb", buffering=0) as f:
            to, of = self.conn.fileno(), f.fileno()
            while self.sent < end:
                n = os.sendfile(to, of, body.off + self.sent, end - self.sent)
                if n == 0:
                    raise Gone
                self.sent += n

    def _send_body(self, response):
        body = response.body
        limit = body.nbytes if response.cut_body is None else response.cut_body
        if response.encode:
            self._paced(response.encode(body.whole())[: response.cut_body], response.pace)
        elif body.where and not (body.flips or response.pace or hasattr(self.conn, "context")):
            self._send_file(body, min(body.nbytes, limit))
        else:
            for piece in self._pieces(body, limit):
                self._paced(piece, response.pace)

    def send(self, response, with_body):
        self.sent = 0
        head = response.before + response.head()
        if response.cut_head is not None:
            self.conn.sendall(head[: response.cut_head])
            self._hang_up(response.cut_how)
        self.conn.sendall(head)
        if with_body:
            self._send_body(response)
        if response.cut_body is not None:
            self._hang_up(response.cut_how)
        if response.close or response.close_silently:
            raise Gone
