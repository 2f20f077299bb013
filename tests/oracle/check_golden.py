"""check_golden.py RECAST MODEL FILE.. - .rgf files, read as docs/golden.md says, against `recast run`.

`read()` is a whole reader of the format. What it finds is held against the logits and streams that
`recast run` gives for the same windows, and against definitions in numpy: checksums to the byte,
candidates exactly, log-probabilities to half a step.
"""

import json
import os
import struct
import sys
import tempfile

import numpy as np
import xxhash
import zstandard

import common
from check_forward import run

STEPS, DIMS, END, TOKENS, LAYER, LOGITS = 2048, 16, 0, 1, 2, 3


# -- the format ----------------------------------------------------------------


def planes(raw, dtype, count):
    """`count` numbers whose first bytes come first, then their second bytes, .."""
    width = np.dtype(dtype).itemsize
    part, rest = raw[: count * width], raw[count * width :]
    return np.frombuffer(part, np.uint8).reshape(width, count).T.copy().view(dtype)[:, 0], rest


def logits_of(raw, head):
    digest, raw, k, m = raw[:16], raw[16:], head["top_k"], head["tail_draws"]
    if k == 0:
        n = len(raw) // (4 * head["vocabulary"])
        return digest, planes(raw, "<f4", n * head["vocabulary"])[0].reshape(n, -1)
    n = len(raw) // (6 * (k + m) + 8)
    ids, raw = planes(raw, "<u4", n * k)
    steps, raw = planes(raw, "<u2", n * k)
    drawn, raw = planes(raw, "<u4", n * m)
    drawn_steps, raw = planes(raw, "<u2", n * m)
    tail, raw = planes(raw, "<f4", n)
    came, raw = planes(raw, "<f4", n)
    logprob = -np.cumsum(steps.reshape(k, n).astype(np.int64), axis=0).T / STEPS
    drawn = drawn.reshape(n, m), drawn_steps.reshape(n, m) / -STEPS
    return digest, (ids.reshape(k, n).T, logprob, drawn, tail, came)


def mix(i):
    """SplitMix64's output at state i of seed 0, for an array of i."""
    with np.errstate(over="ignore"):
        z = (np.asarray(i, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sketched(head):
    """Indices of the tokens that have a sketch."""
    every, n = head["sketched_every"], head["window_tokens"]
    first = np.arange(0, n, every, dtype=np.uint64)
    size = np.minimum(np.uint64(every), np.uint64(n) - first)
    return (first + mix(np.arange(len(first))) % size).astype(np.int64)


def read(path):
    """header, ids of the text, [(sums, sketches)] by layer, [(digest, what is kept)] by section."""
    with open(path, "rb") as f:
        data = f.read()
    magic, version, length = struct.unpack("<8sII", data[:16])
    assert magic == b"\x89RGF\r\n\x1a\n" and version == 1
    assert xxhash.xxh3_128_digest(data[:-16]) == data[-16:]
    head, at = json.loads(data[16 : 16 + length]), 16 + length
    ids, layers, logits, count = None, [], [], 0
    while True:
        kind, index, raw_len, stored = struct.unpack("<IIQQ", data[at : at + 24])
        at += 24
        if kind == END:
            assert index == count and at + 16 == len(data)
            return head, ids, layers, logits
        raw = zstandard.ZstdDecompressor().decompress(data[at : at + stored])
        assert len(raw) == raw_len
        at, count = at + stored, count + 1
        if kind == TOKENS:
            ids = planes(raw, "<u4", head["text_tokens"])[0]
        elif kind == LAYER:
            sums = [raw[8 * w : 8 * w + 8] for w in range(head["windows"])]
            n = -(-head["window_tokens"] // head["sketched_every"])
            sketch = planes(raw[8 * head["windows"] :], "<f4", n * DIMS)[0].reshape(n, DIMS)
            assert index == len(layers)
            layers.append((sums, sketch))
        else:
            assert index == len(logits)
            logits.append(logits_of(raw, head))


def cut(head, ids):
    """Windows, and of each which positions are scored."""
    bos, ctx, stride, skip = head["bos"], head["ctx"], head["stride"], head["skip"]
    text, out = [int(i) for i in ids], []
    if bos is not None and text[0] != bos:
        text = [bos] + text
    for w in range(head["windows"]):
        window = text[w * stride : w * stride + ctx]
        if bos is not None:
            window[0] = bos
        out.append((window, range(max(skip, ctx - stride - 1) if w else skip, len(window) - 1)))
    return out


# -- what it should hold ---------------------------------------------------------


def check_layers(check, head, layers, trace, first, window, w):
    at = sketched(head)
    mine = np.flatnonzero((at >= first) & (at < first + len(window)))
    width = head["streams"] * head["hidden"]
    bits = mix(np.arange(width)).astype(np.uint16)[:, None] >> np.arange(DIMS, dtype=np.uint16) & 1
    signs = np.where(bits, -1.0, 1.0)
    for i, (sums, sketch) in enumerate(layers):
        hidden = np.ascontiguousarray(trace["hidden.%d" % i], np.float32).reshape(-1, width)
        check.that(xxhash.xxh3_128_digest(hidden.tobytes())[:8] == sums[w], "layer %d, sum", i)
        want = hidden[at[mine] - first].astype(np.float64) @ signs
        bound = 1e-6 * np.abs(hidden[at[mine] - first]).sum(axis=1, keepdims=True)
        check.that(np.all(np.abs(sketch[mine] - want) <= bound), "layer %d, sketches", i)
        check.count("sketches", len(mine))


def check_rows(check, head, section, rows, came):
    digest, kept = section
    check.that(digest == xxhash.xxh3_128_digest(rows.tobytes()), "checksum of logits")
    check.count("positions", len(rows))
    if head["top_k"] == 0:
        check.that(common.same_bits(kept, rows), "logits")
        return
    ids, logprob, (drawn, drawn_logprob), tail, next_logprob = kept
    wide, n = rows.astype(np.float64), np.arange(len(rows))
    most = wide.max(axis=1, keepdims=True)
    exact = wide - most - np.log(np.exp(wide - most).sum(axis=1, keepdims=True))
    best = np.argsort(-rows, axis=1, kind="stable")[:, : head["top_k"]]
    check.that(np.array_equal(ids, best), "candidates")
    taken = np.take_along_axis(exact, best, axis=1)
    check.that(np.abs(logprob - taken).max() <= 0.5 / STEPS + 1e-9, "log-probabilities")
    of_drawn = np.take_along_axis(exact, drawn.astype(np.int64), axis=1)
    check.that(np.abs(drawn_logprob - of_drawn).max(initial=0) <= 0.5 / STEPS + 1e-9, "draws")
    strange = (drawn[:, :, None] == best[:, None, :]).any()
    check.that(not strange, "a draw is a candidate")
    check.that(np.abs(tail - (1 - np.exp(taken).sum(axis=1))).max() < 1e-6, "tails")
    check.that(np.abs(next_logprob - exact[n, came]).max() < 1e-5, "tokens that came")


def one_file(check, recast, model, path, work):
    head, ids, layers, logits = read(path)
    windows = cut(head, ids)
    every = np.concatenate([np.array(w, "<u4") for w, _ in windows])
    check.that(xxhash.xxh3_128_hexdigest(every.tobytes()) == head["tokens"], "digest of tokens")
    check.that(len(every) == head["window_tokens"], "tokens in windows")
    check.that(sum(len(s) for _, s in windows) == head["scored"], "scored positions")
    first, section = 0, 0
    for w, (window, scored) in enumerate(windows):
        rows, trace = run(recast, model, window, head["numerics"], work)
        check_layers(check, head, layers, trace, first, window, w)
        for begin in range(scored.start, scored.stop, head["run"]):
            mine = slice(begin, min(begin + head["run"], scored.stop))
            came = window[mine.start + 1 : mine.stop + 1]
            check_rows(check, head, logits[section], rows[mine], came)
            section += 1
        first += len(window)
    check.that(section == len(logits), "sections of logits")


def main(recast, model, *paths):
    check = common.Check("golden files")
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as work:
        for path in paths:
            one_file(check, recast, model, path, work)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "RECAST", "MODEL", "FILE")
