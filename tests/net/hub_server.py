#!/usr/bin/env python3
"""A hub on this machine for tests: the API of Hugging Face's, and every way to misbehave.

    hub_server.py --root DIR --port-file FILE [options]

DIR/ORG/NAME is served as the repository ORG/NAME (hub_repo.py). The kernel chooses the ports; once
they are open FILE holds lines that a shell can read: HUB=PORT, CDN=PORT (where large files lie),
OTHER=PORT (a third origin, which nobody has business with) and PROXY=PORT; with --tls also HUBS
and CDNS. What goes wrong, and when, is said by --faults, or to a running server (hub_faults.py):

    POST /_admin/faults      lines of JSON: a new plan, counted from its start
    POST /_admin/move?repo=ORG/NAME&branch=main&to=REV   a branch points elsewhere
    POST /_admin/reload?repo=ORG/NAME                    the folder was changed
    POST /_admin/expire      no signed address that was given out is good any more

Every request becomes a line of JSON in --log: n, origin, method, path, query, range, auth (what
the origin saw), status, sent (bytes of the body), fault. What goes wrong is a line of its own as
soon as it does, with status 0. The server ends when its parent does.
"""

import argparse
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from urllib.parse import parse_qs, quote, unquote, urlencode

import hub_faults
from hub_http import Body, Gone, Request, Response, Wire, read_request
from hub_repo import Hub

RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
REPO = r"([^/]+/[^/]+)"
API = re.compile(rf"/api/models/{REPO}(?:/(revision|tree)/([^/]+)(?:/(.*))?)?$")
RESOLVE = re.compile(rf"/{REPO}/resolve/([^/]+)/(.+)$")


class Server:
    def __init__(self, options):
        self.options = options
        self.hub = Hub(options.root, options.lfs_from)
        self.faults = hub_faults.Plan()
        if options.faults:
            with open(options.faults, encoding="utf-8") as f:
                self.faults.load(f.read())
        self.lock = threading.Lock()
        self.count = 0
        self.log = open(options.log, "a", buffering=1, encoding="utf-8") if options.log else None
        self.ports = {}
        self.expired_before = 0  # addresses signed earlier than this are no good
        self.used = {}  # by when an address was signed: how often it was good

    # --- answers -----------------------------------------------------------------------------

    def url(self, request, origin, path):
        """An absolute address at another origin, over the same kind of connection."""
        tls = request.origin.endswith("s") and origin + "s" in self.ports
        name = origin + "s" if tls else origin
        host = "localhost" if tls else "127.0.0.1"
        return f"{'https' if tls else 'http'}://{host}:{self.ports[name]}{path}"

    def json(self, value, headers=()):
        data = json.dumps(value).encode()
        kind = ("Content-Type", "application/json; charset=utf-8")
        return Response(200, [kind, *headers, ("Content-Length", len(data))], Body(data))

    def refuse(self, status, code, message):
        data = json.dumps({"error": message}).encode()
        headers = [("Content-Type", "application/json; charset=utf-8")]
        if code:
            headers.append(("X-Error-Code", code))
        headers += [("X-Error-Message", message), ("Content-Length", len(data))]
        return Response(status, headers, Body(data))

    def content(self, request, file, etag, headers=()):
        """Bytes of a file, or what Range chooses of them."""
        base = [
            ("Content-Type", "application/octet-stream"),
            ("Accept-Ranges", "bytes"),
            ("ETag", f'"{etag}"'),
            *headers,
        ]
        wanted = RANGE.match(request.get("range", ""))
        if request.get("if-range", f'"{etag}"') != f'"{etag}"':
            wanted = None
        if request.get("if-match", f'"{etag}"') not in (f'"{etag}"', "*"):
            return self.refuse(412, None, "Precondition Failed")
        first, last, status = 0, file.size - 1, 200
        if wanted and wanted.groups() != ("", ""):
            status = 206
            if not wanted[1]:
                first = max(0, file.size - int(wanted[2]))
            else:
                first = int(wanted[1])
                last = min(last, int(wanted[2]) if wanted[2] else last)
            if first > last:
                bad = self.refuse(416, None, "Range Not Satisfiable")
                bad.set("Content-Range", f"bytes */{file.size}")
                bad.file, bad.total = file, file.size
                return bad
            base.append(("Content-Range", f"bytes {first}-{last}/{file.size}"))
        n = last - first + 1
        base.append(("Content-Length", n))
        out = Response(status, base, Body(where=file.where, off=first, nbytes=n))
        out.file, out.total = file, file.size
        return out

    # --- the hub -----------------------------------------------------------------------------

    def denied(self, request, repo):
        """Why this repository is not for whoever asks, as the real hub says it."""
        known = request.get("authorization") == f"Bearer {self.options.token}"
        if self.options.token and not known:
            return self.refuse(401, "RepoNotFound", "Invalid username or password.")
        if not self.hub.has(repo):
            if request.get("authorization"):
                return self.refuse(404, "RepoNotFound", "Repository not found")
            return self.refuse(401, "RepoNotFound", "Invalid username or password.")
        return None

    def api(self, request, repo, what, revision, folder):
        bad = self.denied(request, repo)
        if bad:
            return bad
        revision = unquote(revision or "main")
        commit = self.hub.commit(repo, revision)
        if not commit:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        query = parse_qs(request.query)
        if what == "tree":
            return self.tree(request, commit, unquote(folder or ""), query)
        blobs = query.get("blobs", ["false"])[0].lower() in ("true", "1")
        return self.json(
            {
                "_id": commit.sha[:24],
                "id": repo,
                "modelId": repo,
                "author": repo.split("/")[0],
                "sha": commit.sha,
                "private": bool(self.options.token),
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": ["region:us"],
                "lastModified": "2026-01-01T00:00:00.000Z",
                "createdAt": "2026-01-01T00:00:00.000Z",
                "siblings": [commit.files[p].sibling(blobs) for p in sorted(commit.files)],
            },
            [("ETag", f'W/"{commit.sha[:12]}"')],
        )

    def tree(self, request, commit, folder, query):
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries = commit.entries(folder, recursive)
        if entries is None:
            return self.refuse(404, "EntryNotFound", f"{folder} does not exist")
        size = min(int(query.get("limit", ["1000"])[0]), self.options.page_size)
        at = int(query.get("cursor", ["0"])[0])
        headers = []
        if at + size < len(entries):
            rest = {k: v[0] for k, v in query.items()} | {"cursor": at + size}
            origin = request.origin.rstrip("s")
            link = self.url(request, origin, f"{request.path}?{urlencode(rest)}")
            headers.append(("Link", f'<{link}>; rel="next"'))
        return self.json(entries[at : at + size], headers)

    def resolve(self, request, repo, revision, path):
        bad = self.denied(request, repo)
        if bad:
            return bad
        commit = self.hub.commit(repo, unquote(revision))
        if not commit:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        file = commit.files.get(unquote(path))
        identity = [("X-Repo-Commit", commit.sha)]
        if not file:
            missing = self.refuse(404, "EntryNotFound", "Entry not found")
            missing.headers += identity
            return missing
        if not file.lfs:
            if self.options.relative and not request.path.startswith("/api/"):
                where = f"/api/resolve-cache/models/{repo}/{commit.sha}/{path}"
                return self.redirect(307, where, file, identity)
            return self.content(request, file, file.etag, identity)
        return self.redirect(302, self.url(request, "cdn", self.signed(file)), file, identity)

    def redirect(self, status, where, file, identity):
        text = f"Redirecting to {where.partition('?')[0]}".encode()
        headers = [
            *identity,
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Accept-Ranges", "bytes"),
            ("X-Linked-Size", file.size),
            ("X-Linked-ETag", f'"{file.etag}"'),
            ("Location", where),
            ("Content-Length", len(text)),
        ]
        if file.lfs:
            headers.append(("X-Xet-Hash", file.entry()["xetHash"]))
        out = Response(status, headers, Body(text))
        out.file = file
        return out

    # --- where large files lie -----------------------------------------------------------------

    def signature(self, path, until, issued):
        text = f"{path} {until} {issued}".encode()
        return hmac.new(self.options.secret.encode(), text, hashlib.sha256).hexdigest()

    def signed(self, file):
        path = f"/repos/{file.sha256[:2]}/{file.sha256}"
        until = int(time.time()) + self.options.expires
        issued = time.monotonic_ns()
        name = quote(os.path.basename(file.path))
        return (
            f"{path}?response-content-disposition=inline%3B+filename%3D{name}"
            f"&Expires={until}&Issued={issued}&Signature={self.signature(path, until, issued)}"
        )

    def storage(self, request):
        """Signed addresses only; a header that was meant for the hub is refused, as S3 does."""
        query = {k: v[0] for k, v in parse_qs(request.query).items()}
        if request.get("authorization"):
            return self.refuse(400, None, "Only one auth mechanism allowed")
        until, issued = int(query.get("Expires", 0)), int(query.get("Issued", 0))
        good = self.signature(request.path, until, issued) == query.get("Signature")
        if not good or until < time.time() or issued < self.expired_before:
            return self.refuse(403, None, "Request has expired")
        file = self.hub.stored_file(request.path.rsplit("/", 1)[-1])
        if not file:
            return self.refuse(404, None, "The specified key does not exist.")
        self.used[issued] = self.used.get(issued, 0) + 1
        return self.content(request, file, file.sha256[::-1][:32])

    # --- a plain folder, orders, and which is which ----------------------------------------------

    def web(self, request):
        """/web/PATH: a folder, no API; what HEAD says is all that is known about a file."""
        path = os.path.realpath(os.path.join(self.hub.root, unquote(request.path[5:])))
        if not path.startswith(self.hub.root + "/") or not os.path.isfile(path):
            return self.refuse(404, None, "Not Found")
        stat = os.stat(path)

        class Plain:
            where, size = path, stat.st_size

        Plain.path = request.path[5:]
        return self.content(request, Plain, f"{stat.st_mtime_ns:x}-{stat.st_size:x}")

    def admin(self, request):
        order = request.path.rsplit("/", 1)[-1]
        query = {k: v[0] for k, v in parse_qs(request.query).items()}
        if order == "faults":
            try:
                self.faults.load(request.body.decode())
            except (ValueError, KeyError, TypeError) as e:
                return self.refuse(400, None, f"no plan: {e}")
        elif order == "move":
            if not self.hub.move(query["repo"], query["branch"], query["to"]):
                return self.refuse(404, None, "no such revision")
        elif order == "reload":
            self.hub.reload(query["repo"])
        elif order == "expire":
            self.expired_before = time.monotonic_ns()
        else:
            return self.refuse(404, None, "no such order")
        return Response(204)

    def answer(self, request):
        origin = request.origin.rstrip("s")
        if request.method not in ("GET", "HEAD", "POST"):
            return self.refuse(405, None, "Method Not Allowed")
        if origin == "hub" and request.path.startswith("/_admin/"):
            return self.admin(request)
        if origin == "other":
            return self.refuse(404, None, "nobody has business here")
        if origin == "cdn":
            return self.storage(request)
        if request.path.startswith("/web/"):
            return self.web(request)
        api = API.match(request.path)
        if api:
            return self.api(request, *api.groups())
        cached = request.path.replace("/api/resolve-cache/models/", "/", 1)
        if cached != request.path:
            parts = cached.split("/", 4)
            if len(parts) == 5:
                return self.resolve(request, "/".join(parts[1:3]), parts[3], parts[4])
        found = RESOLVE.match(request.path)
        if found:
            return self.resolve(request, *found.groups())
        return self.refuse(404, None, "Not Found")

    # --- connections ---------------------------------------------------------------------------

    def record(self, request, status, sent, names):
        with self.lock:
            self.count += 1
            line = {
                "n": self.count,
                "origin": request.origin,
                "method": request.method,
                "path": request.path,
                "query": bool(request.query),
                "range": request.get("range"),
                "auth": request.get("authorization"),
                "agent": request.get("user-agent"),
                "status": status,
                "sent": sent,
                "fault": ",".join(names) or None,
            }
            if self.log:
                self.log.write(json.dumps(line) + "\n")

    def one(self, wire, request):
        """Answer one request of a connection that is then good for the next."""
        response = self.answer(request)
        if request.get("connection", "").lower() == "close":
            response.close = True
        names = []
        if not request.path.startswith("/_admin/"):
            names = self.faults.apply(self, request, response)
        try:
            wire.send(response, request.method != "HEAD" and response.status not in (204, 304))
        finally:
            if not request.path.startswith("/_admin/"):
                self.record(request, response.status, wire.sent, names)
            if response.hook:
                response.hook()

    def through_proxy(self, conn, request):
        """As a proxy: pass on to one of our own origins, whatever host was asked for."""
        if self.options.proxy_auth and request.get("proxy-authorization") is None:
            how = ("Proxy-Authenticate", 'Basic realm="test"')
            bad = Response(407, [how, ("Content-Length", 0)])
            self.record(request, 407, 0, [])
            conn.sendall(bad.head())
            raise Gone
        plain = re.match(r"http://[^/]*?:(\d+)(/.*)", request.target)
        if request.method == "CONNECT":
            port = int(request.target.rsplit(":", 1)[-1])
        elif plain:
            port = int(plain[1])
        else:
            raise Gone
        origin = next((name for name, p in self.ports.items() if p == port), None)
        names = self.faults.names_for(request)
        if not origin or "refuse_connect" in names:
            bad = Response(502, [("Content-Length", 0)])
            self.record(request, 502, 0, names)
            conn.sendall(bad.head())
            raise Gone
        self.record(request, 200, 0, names)
        if request.method != "CONNECT":
            inner = Request(origin, request.method, plain[2], request.headers)
            self.one(Wire(conn), inner)
            return
        conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        there = socket.create_connection(("127.0.0.1", port))
        other = threading.Thread(target=pump, args=(there, conn), daemon=True)
        other.start()
        pump(conn, there)
        other.join()
        raise Gone

    def connection(self, conn, origin, context):
        pending = b""
        try:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for side in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                conn.setsockopt(socket.SOL_SOCKET, side, struct.pack("ll", 120, 0))
            if context:
                conn = context.wrap_socket(conn, server_side=True)
            wire = Wire(conn)
            while True:
                request, pending = read_request(conn, origin, pending)
                if not request:
                    break
                if origin == "proxy":
                    self.through_proxy(conn, request)
                else:
                    self.one(wire, request)
        except (OSError, Gone, ValueError):
            pass  # clients leave as they please
        finally:
            conn.close()

    def listen(self, name, port, context=None):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        self.ports[name] = listener.getsockname()[1]

        def accept():
            while True:
                conn, _ = listener.accept()
                args = (conn, name, context)
                threading.Thread(target=self.connection, args=args, daemon=True).start()

        return accept

    def run(self):
        wanted = [int(p) for p in self.options.ports.split(",")] if self.options.ports else []
        loops = []
        for i, name in enumerate(("hub", "cdn", "other", "proxy")):
            loops.append(self.listen(name, wanted[i] if i < len(wanted) else 0))
        if self.options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.options.tls)
            loops += [self.listen(name, 0, context) for name in ("hubs", "cdns")]
        for loop in loops:
            threading.Thread(target=loop, daemon=True).start()
        lines = "".join(f"{name.upper()}={port}\n" for name, port in self.ports.items())
        with open(self.options.port_file + ".new", "w", encoding="ascii") as f:
            f.write(lines)
        os.rename(self.options.port_file + ".new", self.options.port_file)
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.5)


def pump(source, sink):
    """Bytes from one connection to another until either ends."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for side in (source, sink):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main():
    parser = argparse.ArgumentParser(description="a hub for tests, on this machine only")
    parser.add_argument("--root", required=True, help="folder of ORG/NAME folders")
    parser.add_argument("--port-file", required=True, help="where to say which ports are open")
    parser.add_argument("--ports", help="HUB,CDN,OTHER,PROXY instead of what the kernel chooses")
    parser.add_argument("--faults", help="plan, one JSON object a line")
    parser.add_argument("--log", help="a line of JSON for every request is appended here")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--token", help="whoever asks has to show this one")
    parser.add_argument("--page-size", type=int, default=1000, help="entries of a tree at a time")
    parser.add_argument("--lfs-from", type=int, default=10 << 20, help="bytes that make it large")
    parser.add_argument("--expires", type=int, default=3600, help="seconds a signature is good for")
    parser.add_argument("--secret", default="of no value", help="what signatures are made with")
    parser.add_argument("--relative", action="store_true", help="small files by redirect")
    parser.add_argument("--proxy-auth", action="store_true", help="the proxy wants a name")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    try:
        Server(options).run()
    except (OSError, ValueError, KeyError) as e:
        print(f"hub_server: {e}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
