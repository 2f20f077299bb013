"""How far an answer is from the vectors of tests/data/forward, and whether that is near enough.

An answer has the names of the vectors, as many of them as it can: logits, prefix_logits,
step_logits.P, hidden.L, experts, blocks, draft_logits. Both are dictionaries of numpy arrays.

`f64` vectors: every number within EXACT of the largest of its kind, every choice the same. The
margins in the files say that no choice is near enough to a tie to depend on F32.

`native` vectors: sums are rounded to BF16, FP8 and FP4, so the last bit of an F32 sum, which
depends on the order of adding, sometimes moves a number by a whole step; that may move a
choice, after which a token goes another way. So there are bounds on the middle, on nine of ten
and on the worst: about twice what two faithful ways of computing differ by: those of
`official_forward.py measure`, and recast's own way where that was further off. In the set `smooth` they are below what leaving the rounding out would give; in
`choice`, where almost every token meets a near tie, they only catch what is plainly wrong.
`native-one-max` is native but for the maximum that probabilities are taken by, before they are
rounded to BF16: that of all candidates, where the official kernel has a running one.
"""

import os

import ml_dtypes  # noqa: F401 - gives numpy its bfloat16
import numpy as np
from safetensors.numpy import load_file

EXACT = 1e-5
QUANTILES = (0.5, 0.9, 1.0)
BOUNDS = {
    "smooth native-one-max": {
        "logits": (0.03, 0.07, 0.5),
        "kl logits": (5e-4,),
        "draft_logits": (0.04, 0.08, 0.2),
        "hidden.0": (1e-6, 1e-4, 0.02),
        "hidden.1": (0.005, 0.03, 0.06),
        "hidden.2": (0.017, 0.05, 0.45),
        "hidden.3": (0.05, 0.13, 0.6),
        "hidden.4": (0.05, 0.13, 0.6),
        "experts.0": (0,),
        "experts.1": (0.01,),
        "experts.2": (0.02,),
        "experts.3": (0.1,),
        "experts.4": (0.1,),
    },
    "smooth native": {
        "logits": (0.06, 0.18, 0.5),
        "kl logits": (8e-4,),
        "draft_logits": (0.06, 0.12, 0.2),
        "hidden.0": (0.005, 0.04, 0.07),
        "hidden.1": (0.024, 0.08, 0.2),
        "hidden.2": (0.045, 0.12, 0.45),
        "hidden.3": (0.09, 0.28, 0.6),
        "hidden.4": (0.09, 0.28, 0.6),
        "experts.0": (0,),
        "experts.1": (0.05,),
        "experts.2": (0.09,),
        "experts.3": (0.17,),
        "experts.4": (0.18,),
    },
    "choice native": {
        "logits": (0.12, 0.32, 0.8),
        "kl logits": (4e-3,),
        "draft_logits": (0.1, 0.15, 0.3),
        "hidden.0": (0.04, 0.075, 0.1),
        "hidden.1": (0.08, 0.13, 0.6),
        "hidden.2": (0.1, 0.16, 0.6),
        "hidden.3": (0.16, 0.35, 0.6),
        "hidden.4": (0.18, 0.35, 0.6),
        "experts.0": (0,),
        "experts.1": (0.07,),
        "experts.2": (0.18,),
        "experts.3": (0.35,),
        "experts.4": (0.36,),
    },
}


def vectors(data, which, mode):
    return load_file(os.path.join(data, "%s.%s.safetensors" % (which, mode)))


def rows_distance(got, want):
    """For each row of logits: the largest difference, as a part of the largest logit of all."""
    return np.abs(got - want).max(axis=-1) / np.abs(want).max()


def streams_distance(got, want):
    """For each position: the difference of the streams, as a part of their size (RMS)."""
    axes = tuple(range(1, want.ndim))
    return np.sqrt(((got - want) ** 2).mean(axes) / (want**2).mean(axes))


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def divergence(got, want):
    """For each row: KL(want || got), in nats."""
    p, q = log_softmax(want), log_softmax(got)
    return (np.exp(p) * (p - q)).sum(axis=-1)


def same_kind(x):
    return np.asarray(x).astype(np.float64)


def moved(got, want):
    """[layers, n, k] twice, each row ascending -> [layers, n]: is the choice another one?"""
    return (np.asarray(got).astype(np.int64) != want.astype(np.int64)).any(axis=-1)


def quantiles(x):
    return [float(np.quantile(x, q)) for q in QUANTILES]


def figures(want, got):
    """name -> numbers. Distances: quantiles; choices: the part that moved."""
    out = {}
    for name in sorted(set(want) & set(got)):
        if "logits" in name:
            a, b = same_kind(got[name]), same_kind(want[name])
            out[name] = quantiles(rows_distance(a, b))
            out["kl " + name] = [float(divergence(a, b).mean())]
            out["top " + name] = [float((a.argmax(-1) != b.argmax(-1)).mean())]
        elif name.startswith("hidden."):
            out[name] = quantiles(streams_distance(same_kind(got[name]), same_kind(want[name])))
    for name, layers in (("experts", None), ("blocks", "block_layers")):
        if name in want and name in got:
            flips = moved(got[name], want[name])
            numbers = want[layers] if layers else range(len(flips))
            for layer, row in zip(numbers, flips):
                out["%s.%d" % (name, layer)] = [float(row.mean())]
    return out


def judge_exact(check, want, got):
    for name, numbers in figures(want, got).items():
        if name.startswith(("experts", "blocks", "top")):
            check.that(numbers[0] == 0, "%s: %.2f %% are others", name, 100 * numbers[0])
        else:
            worst = numbers[-1]
            check.that(worst <= EXACT, "%s: off by %.1e, allowed %.0e", name, worst, EXACT)
        check.count("figures")


def judge_native(check, bounds, want, got):
    for name, numbers in figures(want, got).items():
        allowed = bounds.get(name, ())
        if name.startswith(("prefix", "step")):  # a few rows: only the worst says something
            numbers, allowed = numbers[-1:], bounds["logits"][-1:]
        for number, bound in zip(numbers, allowed):
            check.that(number <= bound, "%s: %.2e, allowed %.2e", name, number, bound)
        check.count("figures")


def judge(check, which, mode, want, got):
    """Set `which`, vectors `mode`."""
    for name in ("logits", "hidden.0", "experts"):
        if not check.that(name in got, "%s %s: no %s", which, mode, name):
            return
    if mode == "f64":
        judge_exact(check, want, got)
    else:
        judge_native(check, BOUNDS[which + " " + mode], want, got)
