#!/usr/bin/env python3
"""check_server.py: does the test hub do what a plan says? Asks it over bare sockets.

Every fault of hub_faults.py strikes one request, and what came over the wire has to look like it;
the request after it is answered as before.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import hub_faults

SIZE = 50000
RANGE = "bytes=1000-20999"
WHOLE = 20000  # bytes of that


def raw(port, path, *headers, limit=0.7):
    """All that is said in answer to one request, and how it ended: "end", "reset" or "time"."""
    text = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""])
    out = b""
    with socket.create_connection(("127.0.0.1", port), timeout=limit) as s:
        s.sendall(text.encode())
        try:
            while more := s.recv(1 << 20):
                out += more
        except TimeoutError:
            return out, "time"
        except ConnectionResetError:
            return out, "reset"
    return out, "end"


def ports_of(path, process):
    while not os.path.exists(path) and process.poll() is None:
        time.sleep(0.02)
    with open(path, encoding="ascii") as f:
        return {k: int(v) for k, v in (line.strip().split("=") for line in f)}


LARGE, SMALL, TREE = "large", "small", "tree"
BODY = rb"\r\n\r\n"

# fault, what is asked for, what the answer looks like (regex over head and body), how it ends,
# bytes of the body (None: whatever)
ROWS = [
    ({"do": "ignore_range"}, LARGE, rb"^HTTP/1.1 200 .*Content-Length: 50000", "end", SIZE),
    ({"do": "range_wrong", "start": 1}, LARGE, rb"bytes 1001-20999/50000", "end", WHOLE),
    ({"do": "range_wrong", "end": -1, "total": 7}, LARGE, rb"bytes 1000-20998/50007", "end", WHOLE),
    ({"do": "range_text", "text": "bytes 7"}, LARGE, rb"Content-Range: bytes 7\r", "end", WHOLE),
    ({"do": "short_body", "by": 100}, LARGE, rb"Content-Length: 20000", "end", WHOLE - 100),
    ({"do": "short_answer"}, LARGE, rb"bytes 1000-10999/50000", "end", WHOLE // 2),
    ({"do": "long_body", "by": 9}, LARGE, rb"Content-Length: 20000", "end", WHOLE + 9),
    ({"do": "long_body", "by": 9, "said": 1}, LARGE, rb"Content-Length: 20009", "end", WHOLE + 9),
    ({"do": "not_satisfiable"}, LARGE, rb"^HTTP/1.1 416 .*bytes \*/50000", "end", 0),
    ({"do": "not_satisfiable", "shrunk": 1}, LARGE, rb"bytes \*/25000", "end", 0),
    ({"do": "empty"}, LARGE, rb"416 .*bytes \*/0", "end", 0),
    ({"do": "other_length", "by": 3}, LARGE, rb"bytes 1000-20999/50003", "end", WHOLE),
    ({"do": "flip", "at": 1002}, LARGE, BODY + rb"..\x12", "end", WHOLE),
    ({"do": "swap", "a": "sm", "b": "ll"}, SMALL, BODY + rb"llasm\n$", "end", 6),
    ({"do": "gzipped"}, SMALL, rb"Content-Encoding: gzip.*" + BODY + rb"\x1f\x8b", "end", None),
    ({"do": "chunked"}, SMALL, rb"chunked\r\n.*\r\n\r\n6\r\nsmall\n\r\n0\r\n\r\n$", "end", None),
    ({"do": "chunked", "how": "digits"}, SMALL, BODY + rb"10{15}6\r\n", "end", None),
    ({"do": "chunked", "how": "unfinished"}, SMALL, rb"small\n\r\n$", "end", None),
    ({"do": "header_line", "nbytes": 99999}, SMALL, rb"X-Long: x{99999}\r\n", "end", 6),
    ({"do": "many_headers"}, SMALL, rb"X-9999: y\r\n", "end", 6),
    ({"do": "header_text", "text": "A: b\0c"}, SMALL, rb"\r\nA: b\0c\r\n", "end", 6),
    ({"do": "status_line", "text": "HELLO"}, SMALL, rb"^HELLO\r\n", "end", 6),
    ({"do": "status_line", "bare": 1}, SMALL, rb"^small\n$", "end", None),
    ({"do": "interim"}, SMALL, rb"^HTTP/1.1 100 .*HTTP/1.1 103 .*HTTP/1.1 200 ", "end", None),
    ({"do": "etag", "text": '"q"'}, SMALL, rb'ETag: "q"\r', "end", 6),
    ({"do": "commit"}, SMALL, rb"X-Repo-Commit: 0123456789", "end", 6),
    ({"do": "status", "code": 429, "after": "date+9"}, SMALL, rb"Retry-After: .*GMT", "end", None),
    ({"do": "login"}, SMALL, rb"text/html.*<!DOCTYPE html>", "end", None),
    ({"do": "expired", "fresh": 1}, LARGE, rb"^HTTP/1.1 403 ", "end", None),
    ({"do": "redirect", "to": "http://{other}{path}"}, SMALL, rb"Location: http://127", "end", 0),
    ({"do": "redirect"}, SMALL, rb"^HTTP/1.1 302 (?!.*Location)", "end", 0),
    ({"do": "hops", "n": 4}, SMALL, rb"Location: .*small.txt\?hop=1\r", "end", 0),
    ({"do": "cut", "head": 5}, SMALL, rb"^HTTP/$", "end", None),
    ({"do": "cut", "body": 2, "how": "reset"}, SMALL, rb"^(HTTP.*sm)?$", "reset", None),
    ({"do": "cut", "share": 0.5, "how": "stall"}, LARGE, rb"206", "time", WHOLE // 2),
    ({"do": "slow", "pace": 1}, SMALL, rb"206|200", "time", None),
    ({"do": "wait", "seconds": 2}, SMALL, rb"^$", "time", None),
    ({"do": "link_loop"}, TREE, rb"Link: <http://127.*/main\?recursive=true>", "end", None),
    ({"do": "link", "to": "file:///x"}, TREE, rb'Link: <file:///x>; rel="next"', "end", None),
    ({"do": "list_add", "names": ["../x"]}, TREE, rb'"path": "../x"', "end", None),
    ({"do": "list_add", "n": 1000}, TREE, rb"extra/000999.txt", "end", None),
    ({"do": "list_drop", "name": "large"}, TREE, rb"200 OK(?!.*large)", "end", None),
    ({"do": "list_double"}, TREE, rb"small.txt.*small.txt", "end", None),
    ({"do": "list_set", "name": "sma", "values": {"size": -5}}, TREE, rb'"size": -5', "end", None),
    ({"do": "json_set", "values": {"sha": "q"}}, "info", rb'"sha": "q"', "end", None),
    ({"do": "json_text", "text": "[", "times": 99}, TREE, rb"\[{99}$", "end", 99),
    ({"do": "json_huge", "nbytes": 5000}, TREE, rb"\[ +\]$", "end", 5002),
    ({"do": "moved", "repo": "local/x", "to": "next"}, TREE, rb"200 OK", "end", None),
    ({"do": "hang_up"}, SMALL, rb"200 OK", "end", 6),
    ({"do": "refuse_connect"}, SMALL, rb"200 OK", "end", 6),
]  # fmt: skip


def answer(port, what):
    """LARGE is asked for at the second origin, with a fresh signature."""
    if what == LARGE:
        head, _ = raw(port["HUB"], "/local/x/resolve/main/large.bin", "Range: " + RANGE)
        where = re.search(rb"Location: http://[^/]*(\S*)", head)[1].decode()
        return raw(port["CDN"], where, "Range: " + RANGE)
    api = "/api/models/local/x"
    path = {SMALL: "/local/x/resolve/main/small.txt", TREE: api + "/tree/main?recursive=true"}
    return raw(port["HUB"], path.get(what, api))


def order(port, body):
    url = f"http://127.0.0.1:{port['HUB']}/_admin/faults"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url, data=body.encode(), method="POST")).close()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    bad = []
    untried = set(hub_faults.FAULTS) - {spec["do"] for spec, *_ in ROWS}
    if untried:
        bad.append(f"never tried: {sorted(untried)}")
    with tempfile.TemporaryDirectory() as work:
        for name in ("x", "x@next"):
            os.makedirs(f"{work}/local/{name}")
            with open(f"{work}/local/{name}/small.txt", "w", encoding="ascii") as f:
                f.write("small\n" if name == "x" else "other\n")
        with open(f"{work}/local/x/large.bin", "wb") as f:
            f.write(bytes(i % 256 if i > 1002 else 2 for i in range(SIZE)))
        server = [sys.executable, f"{here}/hub_server.py", "--root", work]
        with subprocess.Popen([*server, "--port-file", f"{work}/p"]) as process:
            port = ports_of(f"{work}/p", process)
            for spec, what, pattern, end, nbytes in ROWS:
                place = {"origin": "cdn"} if what == LARGE else {"origin": "hub"}
                order(port, json.dumps(spec | place | {"first": 1}))
                got, ended = answer(port, what)
                body = got.partition(b"\r\n\r\n")[2]
                if not re.search(pattern, got, re.S):
                    bad.append(f"{spec}: {got[:300]!r}")
                if ended != end:
                    bad.append(f"{spec}: ended by {ended}, not {end}")
                if nbytes is not None and len(body) != nbytes:
                    bad.append(f"{spec}: {len(body)} bytes of body, not {nbytes}")
                got, ended = answer(port, what)
                if ended != "end" or not re.match(rb"HTTP/1.1 20[06] ", got):
                    bad.append(f"{spec}: the next request is not answered well: {got[:100]!r}")
                if spec["do"] == "moved" and b"large" in got:
                    bad.append("moved: the branch is where it was")
            process.terminate()
    for line in bad:
        print(f"FAIL server: {line}")
    print(f"{len(ROWS)} faults, {len(bad)} not as they should be")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
