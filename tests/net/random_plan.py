#!/usr/bin/env python3
"""random_plan.py SEED: a plan of faults for hub_server.py, the same for the same seed.

One to five kinds of trouble, each rare or frequent, passing or lasting: what a bad day looks like.
"""

import json
import random
import sys

TROUBLE = [
    {"do": "ignore_range", "range": True},
    {"do": "range_wrong", "start": 1},
    {"do": "range_wrong", "end": 3},
    {"do": "range_wrong", "none": 1},
    {"do": "short_body"},
    {"do": "short_answer"},
    {"do": "long_body"},
    {"do": "long_body", "said": 1},
    {"do": "not_satisfiable"},
    {"do": "gzipped", "range": True},
    {"do": "chunked"},
    {"do": "chunked", "how": "unfinished"},
    {"do": "chunked", "how": "garbage"},
    {"do": "header_line", "nbytes": 70000},
    {"do": "many_headers", "n": 3000},
    {"do": "status_line", "text": "HTTP/1.1 abc"},
    {"do": "status_line", "bare": 1},
    {"do": "interim"},
    {"do": "commit", "path": "/resolve/"},
    {"do": "etag", "text": '"0123456789abcdef0123456789abcdef"', "origin": "cdn"},
    {"do": "status", "code": 429, "after": 0},
    {"do": "status", "code": 403, "origin": "cdn"},
    {"do": "status", "code": 404},
    {"do": "status", "code": 500},
    {"do": "status", "code": 502},
    {"do": "status", "code": 503},
    {"do": "status", "code": 504},
    {"do": "status", "code": 408},
    {"do": "login"},
    {"do": "expired", "origin": "cdn"},
    {"do": "redirect", "to": "{path}", "origin": "hub"},
    {"do": "redirect", "origin": "hub"},
    {"do": "hops", "n": 2, "origin": "hub"},
    {"do": "flip", "range": True},
    {"do": "cut", "share": 0.5},
    {"do": "cut", "share": 0.9, "how": "reset"},
    {"do": "cut", "head": 40},
    {"do": "cut", "head": 100, "how": "reset"},
    {"do": "cut", "share": 0.3, "how": "stall", "last": 2},
    {"do": "wait", "seconds": 0.2},
    {"do": "slow", "pace": 400000},
    {"do": "hang_up"},
    {"do": "list_drop", "name": "model-00002", "path": "^/api/"},
    {"do": "list_double", "path": "^/api/"},
    {"do": "moved", "repo": "local/tiny", "to": "next", "origin": "hub"},
]


def main():
    seed = int(sys.argv[1])
    draw = random.Random(seed)
    for i, trouble in enumerate(draw.sample(TROUBLE, draw.choice([1, 2, 3, 5]))):
        line = trouble | {"p": draw.choice([0.02, 0.1, 0.3, 0.6]), "seed": seed * 10 + i}
        if draw.random() < 0.6:
            line.setdefault("last", draw.choice([1, 2, 4]))
        print(json.dumps(line))


if __name__ == "__main__":
    main()
