#!/usr/bin/env python3
"""make_behaviour.py [--check] DIR - write the vectors of tests/data/behaviour, or compare.

Pairs of rows of logits come from a formula (make_rows), which tests/unit/test_behaviour.c has as well,
so that a vocabulary of 129,280 needs no file. What is kept is what numpy, scipy and, for some rows,
Python's decimal say of them. No part of recast takes part.
"""

import os
import sys
from decimal import Decimal, localcontext

import numpy as np
from scipy.special import log_softmax, logsumexp, rel_entr

SETS = {"small": (7, 24), "middle": (512, 240), "large": (129280, 6)}
EXACT = 24  # positions of `middle`
TOP = 10
NOBODY = 0xFFFFFFFF
SCALE = (6, 24, 2)
DIFFER = (0, 2.0**-20, 2.0**-8, 2.0**-3, 1, None)


def mixed(z):
    """splitmix64 of each number."""
    with np.errstate(over="ignore"):
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def numbers(position, side, vocab):
    """Two rows of numbers in [-1, 1), of 24 bits."""
    at = (np.uint64(2 * position + side) << np.uint64(32)) + np.arange(vocab, dtype=np.uint64)
    z = mixed(at)
    low = np.uint64(0xFFFFFF)
    return [
        (part & low).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
        for part in (z >> np.uint64(40), z)
    ]


def make_rows(position, vocab):
    """NATIVE: cubes of random numbers, few of them large. CONVERTED: the same, off by a random part
    of DIFFER; or a row of its own. Of every fourth position halves: many equal logits."""
    scale = np.float32(SCALE[position // 6 % 3])
    differ = DIFFER[position % 6]
    u, v = numbers(position, 0, vocab)
    a = u * u * u * scale
    if differ is None:
        u, v = numbers(position, 1, vocab)
        b = u * u * u * scale
    else:
        b = a + v * np.float32(differ)
    if position % 4 == 3:
        a, b = (np.floor(x * np.float32(2)) * np.float32(0.5) for x in (a, b))
    return a, b


def ranked(x):
    """Ids by falling logit, of equals by rising id."""
    return np.argsort(-x, kind="stable")


def top_of(x):
    ids = np.full(TOP, NOBODY, np.uint32)
    best = ranked(x)[:TOP]
    ids[: len(best)] = best
    return ids


def exact_kl(a, b):
    """sum p log(p / q) with forty digits."""
    with localcontext() as context:
        context.prec = 40
        a, b = ([Decimal(float(v)) for v in row] for row in (a, b))
        pa, pb = ([v.exp() for v in row] for row in (a, b))
        za, zb = sum(pa), sum(pb)
        apart = zb.ln() - za.ln()
        return float(sum(p / za * (x - y + apart) for p, x, y in zip(pa, a, b)))


def bits_of(x):
    return int(x.view(np.uint32).astype(np.uint64).sum())


def judge_row(position, vocab):
    a, b = make_rows(position, vocab)
    came = int(ranked(a)[position % 3]) if position % 5 else int(mixed(np.uint64(position)) % np.uint64(vocab))
    la, lb = (log_softmax(x.astype(np.float64)) for x in (a, b))
    numbers = [
        bits_of(a),
        bits_of(b),
        came,
        logsumexp(a.astype(np.float64)),
        logsumexp(b.astype(np.float64)),
        la[came],
        lb[came],
        rel_entr(np.exp(la), np.exp(lb)).sum() if position % 6 else 0,
    ]
    if position % 6 == 0:
        assert np.array_equal(a, b)
    return numbers, np.concatenate([top_of(a), top_of(b)])


def with_error(x):
    return [x.mean(), x.std() / np.sqrt(len(x) - 1)]


def of_perplexity(log):
    mean, error = with_error(log)
    return [np.exp(mean), np.exp(mean) * error]


def figures(rows, tops, vocab):
    pa, pb, kl = rows[:, 5], rows[:, 6], rows[:, 7]
    dp = np.exp(pb) - np.exp(pa)
    out = with_error(kl) + list(np.quantile(kl, [0.5, 0.9, 0.95, 0.99, 0.999, 1]))
    out += with_error((tops[:, 0] == tops[:, TOP]).astype(float))
    for k in (5, 10):
        k = min(k, vocab)
        share = [len(np.intersect1d(t[:k], t[TOP : TOP + k])) / k for t in tops]
        out += with_error(np.array(share))
    out += of_perplexity(-pa) + of_perplexity(-pb) + of_perplexity(pa - pb)
    out += with_error(dp)
    square, error = with_error(dp * dp)
    out += [np.sqrt(square), error / (2 * np.sqrt(square))]
    out += list(np.quantile(dp, [0, 0.01, 0.05, 0.5, 0.95, 0.99, 1]))
    edges = 10.0 ** (np.arange(1, 48) / 4 - 10)
    bins = np.bincount(np.digitize(kl[kl != 0], edges), minlength=48)
    return np.array(out + [(kl == 0).sum()] + list(bins))


def made():
    for name, (vocab, count) in SETS.items():
        judged = [judge_row(p, vocab) for p in range(count)]
        rows = np.array([numbers for numbers, _ in judged])
        tops = np.array([top for _, top in judged])
        yield name + ".rows.f64", rows.astype("<f8")
        yield name + ".top.u32", tops.astype("<u4")
        yield name + ".figures.f64", figures(rows, tops, vocab).astype("<f8")
    vocab = SETS["middle"][0]
    exact = [exact_kl(*make_rows(p, vocab)) for p in range(EXACT)]
    yield "middle.exact.f64", np.array(exact, "<f8")


def same(path, data):
    """The C libraries beneath numpy differ in the last place."""
    kept = np.fromfile(path, data.dtype)
    if kept.size != data.size:
        return False
    return np.allclose(kept, data.ravel(), rtol=1e-12, atol=1e-15)


def main(argv):
    check = argv[:1] == ["--check"]
    if len(argv) != 1 + check:
        sys.exit("usage: make_behaviour.py [--check] DIR")
    bad = 0
    for name, data in made():
        path = os.path.join(argv[-1], name)
        if not check:
            data.tofile(path)
        elif not same(path, data):
            print("FAIL behaviour: %s differs" % path)
            bad = 1
    if not bad:
        print("ok   behaviour: %d pairs of rows" % sum(count for _, count in SETS.values()))
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
