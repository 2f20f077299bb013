"""What can go wrong at a hub, by name, and when.

A plan is lines of JSON, each an object:

    {"do": NAME, ...}        what happens; other keys are the fault's own, see each function
    "origin": "cdn"          to requests there only ("hub", "cdn", "other", "proxy")
    "path": REGEX            whose path matches (search, not full match); and
    "file": REGEX            that ask for a file of such a name, at whatever address; and
    "method": "GET"          this method; and
    "range": true            with (or false: without) a Range header
    "nth": [1, 3]            the first and third of them; else
    "first": 2               the first two; else
    "p": 0.05, "seed": 7     one of twenty. Which ones is decided by the seed, the request and how
                             often it was made, not by the order in which threads get here; else all
    "last": 20               and never more often than this

The first line that fits a request acts on it, the others do not.
"""

import functools
import gzip
import hashlib
import json
import re
import threading
import time

FAULTS = {}


def fault(f):
    FAULTS[f.__name__] = f
    return f


class Line:
    def __init__(self, spec):
        self.spec = spec
        self.name = spec["do"]
        self.act = FAULTS[self.name]
        self.path = re.compile(spec.get("path", ""))
        self.file = re.compile(spec["file"]) if "file" in spec else None
        self.matched = 0
        self.acted = 0
        self.seen = {}

    def fits(self, request, file):
        spec = self.spec
        if self.file and not (file and self.file.search(file.path)):
            return False
        if "origin" in spec and request.origin.rstrip("s") != spec["origin"]:
            return False
        if "method" in spec and request.method != spec["method"]:
            return False
        if "range" in spec and (request.get("range") is not None) != spec["range"]:
            return False
        return bool(self.path.search(request.path))

    def drawn(self, request):
        key = f"{request.origin} {request.method} {request.path} {request.get('range')}"
        turn = self.seen[key] = self.seen.get(key, 0) + 1
        text = f"{self.spec.get('seed', 0)} {key} {turn}".encode()
        draw = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        return draw / 2**64 < self.spec["p"]

    def due(self, request):
        spec = self.spec
        self.matched += 1
        if "nth" in spec:
            due = self.matched in spec["nth"]
        elif "first" in spec:
            due = self.matched <= spec["first"]
        else:
            due = "p" not in spec or self.drawn(request)
        due = due and self.acted < spec.get("last", 1 << 30)
        self.acted += due
        return due


class Plan:
    def __init__(self):
        self.lines = []
        self.lock = threading.Lock()

    def load(self, text):
        lines = [Line(json.loads(line)) for line in text.splitlines() if line.strip()]
        with self.lock:
            self.lines = lines

    def line_for(self, request, file=None):
        with self.lock:
            for line in self.lines:
                if line.fits(request, file) and line.due(request):
                    return line
        return None

    def names_for(self, request):
        line = self.line_for(request)
        return [line.name] if line else []

    def apply(self, server, request, response):
        line = self.line_for(request, response.file)
        if not line:
            return []
        server.record(request, 0, 0, [line.name])  # it may take a while
        line.act(server, request, response, line.spec)
        return [line.name]


# --- ranges and lengths -------------------------------------------------------------------------


def span(response):
    """First, last, total of Content-Range; of a whole body that of the body."""
    found = re.match(r"bytes (\d+)-(\d+)/(\d+)", response.header("Content-Range") or "")
    if found:
        return tuple(int(n) for n in found.groups())
    return 0, response.body.nbytes - 1, response.body.nbytes


@fault
def ignore_range(server, request, response, spec):
    """200 and the whole file, though a part was asked for."""
    if response.status == 206:
        response.status = 200
        response.drop("Content-Range")
        response.body.off, response.body.nbytes = 0, response.total
        response.set("Content-Length", response.total)


@fault
def range_wrong(server, request, response, spec):
    """Content-Range with "start", "end", "total" off by so much; "none": without it."""
    if response.status == 206:
        first, last, total = span(response)
        first, last = first + spec.get("start", 0), last + spec.get("end", 0)
        response.set("Content-Range", f"bytes {first}-{last}/{total + spec.get('total', 0)}")
        if spec.get("none"):
            response.drop("Content-Range")


@fault
def range_text(server, request, response, spec):
    """Content-Range: "text"."""
    if response.status == 206:
        response.set("Content-Range", spec["text"])


@fault
def short_body(server, request, response, spec):
    """The body ends "by" bytes (a half) before Content-Length says."""
    response.cut_body = max(0, response.body.nbytes - spec.get("by", response.body.nbytes // 2 + 1))


@fault
def short_answer(server, request, response, spec):
    """A well-formed answer that holds half of the range that was asked for."""
    if response.status == 206:
        first, last, total = span(response)
        response.body.nbytes = max(1, response.body.nbytes // 2)
        last = first + response.body.nbytes - 1
        response.set("Content-Range", f"bytes {first}-{last}/{total}")
        response.set("Content-Length", response.body.nbytes)


@fault
def long_body(server, request, response, spec):
    """Bytes that nobody asked for follow; "said": Content-Length counts them."""
    extra = b"\x5a" * spec.get("by", 1000)
    data = response.body.whole() + extra
    if spec.get("said"):
        response.set("Content-Length", len(data))
    response.body.where, response.body.data, response.body.nbytes = None, data, len(data)
    response.close_silently = True


@fault
def not_satisfiable(server, request, response, spec):
    """416 for a range that is there; "total" as it is, or smaller ("shrunk")."""
    if request.get("range"):
        total = max(1, response.total // 2) if spec.get("shrunk") else response.total
        response.replace(416, headers=[("Content-Range", f"bytes */{total}")])


@fault
def empty(server, request, response, spec):
    """The file has zero bytes now."""
    if request.get("range"):
        response.replace(416, headers=[("Content-Range", "bytes */0")])
    else:
        response.replace(200, headers=[("ETag", '"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"')])


@fault
def other_length(server, request, response, spec):
    """The file is "by" bytes longer than the hub listed, everywhere the same."""
    by = spec.get("by", 1)
    if response.header("X-Linked-Size"):
        response.set("X-Linked-Size", int(response.header("X-Linked-Size")) + by)
    elif response.status == 206:
        first, last, total = span(response)
        response.set("Content-Range", f"bytes {first}-{last}/{total + by}")
    elif response.status == 200:
        long_body(server, request, response, {"by": by, "said": True})


@fault
def flip(server, request, response, spec):
    """One bit of the body travels wrong, at byte "at" of the file; else in the body's middle."""
    at = spec["at"] - span(response)[0] if "at" in spec else response.body.nbytes // 2
    if response.status in (200, 206) and 0 <= at < response.body.nbytes:
        response.body.flips.append(at)


@fault
def swap(server, request, response, spec):
    """Bytes of another version: the texts "a" and "b", of one length, have changed places."""
    if response.status in (200, 206):
        a, b = spec["a"].encode(), spec["b"].encode()
        data = b.join(part.replace(b, a) for part in response.body.whole().split(a))
        response.body.where, response.body.data, response.body.nbytes = None, data, len(data)


# --- codings and headers ------------------------------------------------------------------------


@functools.lru_cache
def bomb(nbytes):
    return gzip.compress(bytes(nbytes), 1)


@functools.lru_cache
def blanks(nbytes):
    return b"[" + b" " * nbytes + b"]"


@fault
def gzipped(server, request, response, spec):
    """Content-Encoding: gzip, though identity was asked for. "bomb": of so many bytes of zeros."""
    packed = bomb(spec["bomb"]) if "bomb" in spec else gzip.compress(response.body.whole(), 1)
    response.set("Content-Encoding", "gzip")
    response.set("Content-Length", len(packed))
    response.body.where, response.body.data, response.body.nbytes = None, packed, len(packed)


@fault
def chunked(server, request, response, spec):
    """Transfer-Encoding: chunked; "how": good, digits, unfinished, extension, negative, garbage."""
    how = spec.get("how", "good")

    def encode(data):
        size = b"%x" % len(data)
        end = b"0\r\n\r\n"
        if how == "digits":
            size = b"1" + b"0" * (16 - len(size)) + size
        elif how == "extension":
            size += b";x=" + b"y" * (1 << 20)
        elif how == "negative":
            size = b"-" + size
        elif how == "garbage":
            size = b"zz"
        elif how == "unfinished":
            end = b""
        return size + b"\r\n" + data + b"\r\n" + end

    response.drop("Content-Length")
    response.set("Transfer-Encoding", "chunked")
    response.encode = encode
    response.close_silently = True


@fault
def header_line(server, request, response, spec):
    """One header of "nbytes" (1 MiB)."""
    response.set("X-Long", "x" * spec.get("nbytes", 1 << 20))


@fault
def many_headers(server, request, response, spec):
    """Ten thousand headers."""
    response.headers += [(f"X-{i}", "y") for i in range(spec.get("n", 10000))]


@fault
def header_text(server, request, response, spec):
    """A header as it must not be: "text", put in front of the others."""
    response.headers.insert(0, tuple(spec["text"].split(": ", 1)))


@fault
def status_line(server, request, response, spec):
    """Another status line: "text"; with "bare" nothing else before the body (HTTP/0.9)."""
    head = response.head().split(b"\r\n", 1)[1]
    text = spec.get("text", "").encode("latin-1")
    response.raw_head = b"" if spec.get("bare") else text + b"\r\n" + head
    response.close_silently = True


@fault
def interim(server, request, response, spec):
    """100 and 103 before the answer, or "n" of them."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
    response.before = b"HTTP/1.1 100 Continue\r\n\r\n" + early * spec.get("n", 1)


@fault
def etag(server, request, response, spec):
    """ETag (and X-Linked-ETag): "text", e.g. of another file."""
    for name in ("ETag", "X-Linked-ETag"):
        if response.header(name):
            response.set(name, spec["text"])


@fault
def commit(server, request, response, spec):
    """X-Repo-Commit of another commit."""
    response.set("X-Repo-Commit", spec.get("text", "0123456789" * 4))


# --- whole answers ------------------------------------------------------------------------------


@fault
def status(server, request, response, spec):
    """The answer is "code"; "after" is Retry-After: seconds, or "date+N"."""
    headers = []
    if "after" in spec:
        after = str(spec["after"])
        if after.startswith("date+"):
            when = time.gmtime(time.time() + int(after[5:]))
            after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", when)
        headers.append(("Retry-After", after))
    response.replace(spec["code"], b'{"error":"so it is"}', "application/json", headers)


@fault
def login(server, request, response, spec):
    """200 and the page of somebody who wants a name and a password."""
    page = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Welcome</body></html>\n"
    response.replace(200, page, "text/html; charset=utf-8")


@fault
def expired(server, request, response, spec):
    """The signed address is no good any more, nor are all others that were given out. Unless
    "fresh", that happens to addresses only that were good once."""
    issued = re.search(r"Issued=(\d+)", request.query)
    if not spec.get("fresh") and server.used.get(int(issued[1]) if issued else 0, 0) < 2:
        return
    server.expired_before = time.monotonic_ns()
    response.replace(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")


@fault
def moved(server, request, response, spec):
    """After this answer "branch" (main) of "repo" points "to" another revision."""
    repo, branch = spec["repo"], spec.get("branch", "main")
    response.hook = lambda: server.hub.move(repo, branch, spec["to"])


@fault
def redirect(server, request, response, spec):
    """To the address "to", in which {hub}, {cdn}, {other} are those origins and {path} is what was
    asked for; {n} counts hops. Without "to": no Location. "code" (302)."""
    headers = []
    if "to" in spec:
        hop = re.search(r"[?&]hop=(\d+)", request.target)
        names = {name: f"127.0.0.1:{port}" for name, port in server.ports.items()}
        target = re.sub(r"[?&]hop=\d+", "", request.target)
        to = spec["to"].format(path=target, n=int(hop[1]) + 1 if hop else 1, **names)
        headers.append(("Location", to))
    kept = [h for h in response.headers if h[0].startswith(("X-Repo", "X-Linked"))]
    response.replace(spec.get("code", 302), headers=kept + headers)


@fault
def hops(server, request, response, spec):
    """"n" redirects to itself before the answer."""
    hop = re.search(r"[?&]hop=(\d+)", request.target)
    n = int(hop[1]) if hop else 0
    if n < spec["n"]:
        target = re.sub(r"[?&]hop=\d+", "", request.target)
        mark = "&" if "?" in target else "?"
        response.replace(302, headers=[("Location", f"{target}{mark}hop={n + 1}")])


# --- connections --------------------------------------------------------------------------------


@fault
def cut(server, request, response, spec):
    """The connection ends ("how": close, reset, stall) after byte "head" of the head, "body" of
    the body, or "share" (0..1) of the body."""
    response.cut_how = spec.get("how", "close")
    if "head" in spec:
        response.cut_head = spec["head"]
    elif "share" in spec:
        response.cut_body = int(response.body.nbytes * spec["share"])
    else:
        response.cut_body = min(spec.get("body", 0), response.body.nbytes)


@fault
def slow(server, request, response, spec):
    """"pace" bytes a second (1)."""
    response.pace = spec.get("pace", 1)


@fault
def wait(server, request, response, spec):
    """Nothing at all for "seconds", then the answer."""
    time.sleep(spec["seconds"])


@fault
def hang_up(server, request, response, spec):
    """After this answer the connection is closed, and nobody was told."""
    response.close_silently = True


@fault
def refuse_connect(server, request, response, spec):
    """Of the proxy: 502."""


# --- lists --------------------------------------------------------------------------------------


def edit_json(response, edit):
    data = json.dumps(edit(json.loads(response.body.whole()))).encode()
    response.body.data, response.body.nbytes = data, len(data)
    response.set("Content-Length", len(data))


@fault
def link_loop(server, request, response, spec):
    """The next page of the list is this one."""
    here = f"http://127.0.0.1:{server.ports['hub']}{request.target}"
    response.set("Link", f'<{here}>; rel="next"')


@fault
def link(server, request, response, spec):
    """The next page of the list is at "to" ({hub}, {cdn}, {other} as for redirects)."""
    names = {name: f"127.0.0.1:{port}" for name, port in server.ports.items()}
    response.set("Link", f'<{spec["to"].format(path=request.target, **names)}>; rel="next"')


@fault
def list_add(server, request, response, spec):
    """Files of these "names" are listed as well, or "n" of them."""
    names = spec.get("names") or [f"extra/{i:06}.txt" for i in range(spec["n"])]
    extra = [
        {"type": "file", "oid": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "size": 0, "path": name}
        for name in names
    ]

    def edit(value):
        if isinstance(value, list):
            return value + extra
        value["siblings"] += [{"rfilename": name} for name in names]
        return value

    # A hundred thousand take so long that a client loses patience: made once.
    made = spec.setdefault("made", {})
    if request.target not in made:
        edit_json(response, edit)
        made[request.target] = response.body.data
    data = response.body.data = made[request.target]
    response.body.nbytes = len(data)
    response.set("Content-Length", len(data))


@fault
def list_drop(server, request, response, spec):
    """Files whose path matches "name" are not listed."""

    def edit(value):
        if isinstance(value, list):
            return [e for e in value if not re.search(spec["name"], e["path"])]
        kept = [s for s in value["siblings"] if not re.search(spec["name"], s["rfilename"])]
        return value | {"siblings": kept}

    edit_json(response, edit)


@fault
def list_double(server, request, response, spec):
    """Every file is listed twice."""

    def edit(value):
        if isinstance(value, list):
            return value + value
        return value | {"siblings": value["siblings"] * 2}

    edit_json(response, edit)


@fault
def list_set(server, request, response, spec):
    """Entries whose path matches "name" have other values: "values"."""

    def edit(value):
        for e in value if isinstance(value, list) else []:
            if re.search(spec["name"], e["path"]):
                e.update(spec["values"])
        return value

    edit_json(response, edit)


@fault
def json_set(server, request, response, spec):
    """The object has other "values"."""
    edit_json(response, lambda v: v | spec["values"] if isinstance(v, dict) else v)


@fault
def json_text(server, request, response, spec):
    """200 and this "text", "times" over."""
    text = spec["text"].encode() * spec.get("times", 1)
    response.replace(200, text, "application/json; charset=utf-8")


@fault
def json_huge(server, request, response, spec):
    """200 and a well-formed list of "nbytes" bytes, mostly blanks."""
    response.replace(200, blanks(spec.get("nbytes", 100 << 20)), "application/json")
