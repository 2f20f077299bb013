"""check_figures.py NATIVE CONVERTED REPORT - the figures of `recast verify --json`.

Computed again with numpy in float64 for every parameter: the counts must be equal, the
figures within 1e-12 of their size.
"""

import json
import math

import numpy as np

import common

CLOSE = 1e-12


def figures(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    d = a - b
    aa, bb, dd, ab = (float(np.dot(x, y)) for x, y in ((a, a), (b, b), (d, d), (a, b)))
    exact = dd == 0
    return {
        "values": a.size,
        "differ": int((d != 0).sum()),
        "max_abs_err": float(np.abs(d).max()),
        "rel_err": 0.0 if exact else math.sqrt(dd / aa),
        "sqnr_db": None if exact else 10 * math.log10(aa / dd),
        "cosine": 1.0 if exact else ab / (math.sqrt(aa) * math.sqrt(bb)),
        "at": int(np.abs(d).argmax()),
        "aa": aa,
        "dd": dd,
    }


def close(a, b):
    if a is None or b is None:
        return a is b
    return abs(a - b) <= CLOSE * max(abs(a), abs(b))


def check_worst(check, a, b, entry, want, tensor):
    if want["differ"] == 0:
        check.that(entry["worst"] is None, "%s: a worst place", entry["name"])
        return
    at = want["at"]
    cols = a.shape[-1]
    worst = entry["worst"]
    check.that(
        worst["row"] * cols + worst["column"] == at
        and worst["native"] == float(a.ravel()[at])
        and worst["converted"] == float(b.ravel()[at])
        and worst["shard"] == tensor.shard.name,
        "%s: worst at %d, says %s",
        entry["name"],
        at,
        worst,
    )
    width = tensor.nbytes // a.size
    check.that(worst["offset"] == tensor.begin + at * width, "%s: offset", entry["name"])


def main(native, converted, report):
    src, dst = common.Checkpoint(native), common.Checkpoint(converted)
    check = common.Check("figures %s" % converted)
    with open(report, encoding="utf-8") as f:
        told = json.load(f)
    entries = {e["name"]: e for e in told["tensors"]}
    check.that(set(entries) == set(dst.parameters()), "the report lists other parameters")
    sums, total = {}, {"values": 0, "differ": 0}
    for name in dst.parameters():
        a, b, entry = src.values(name), dst.values(name), entries[name]
        want = figures(a, b)
        for key in ("values", "differ", "max_abs_err"):
            check.that(
                entry[key] == want[key], "%s: %s %s, numpy %s", name, key, entry[key], want[key]
            )
        for key in ("rel_err", "sqnr_db", "cosine"):
            check.that(
                close(entry[key], want[key]),
                "%s: %s %s, numpy %s",
                name,
                key,
                entry[key],
                want[key],
            )
        check.that(entry["exact"] == (want["differ"] == 0), "%s: exact", name)
        check_worst(check, a, b, entry, want, dst.tensors[name])
        check.count("parameters")
        if want["differ"]:
            check.count("that differ")
        role = sums.setdefault(entry["role"], {"aa": 0.0, "dd": 0.0, "max": 0.0, "sqnr": None})
        if src.tensors[name].dtype != "I64":  # ids are not magnitudes
            role["aa"] += want["aa"]
        role["dd"] += want["dd"]
        role["max"] = max(role["max"], want["max_abs_err"])
        if want["sqnr_db"] is not None:
            role["sqnr"] = min(want["sqnr_db"], math.inf if role["sqnr"] is None else role["sqnr"])
        for key in total:
            total[key] += want[key]
    for role in told["roles"]:
        want = sums[role["role"]]
        rel = math.sqrt(want["dd"] / want["aa"]) if want["dd"] else 0.0
        check.that(
            role["max_abs_err"] == want["max"]
            and close(role["rel_err"], rel)
            and close(role["worst_sqnr_db"], want["sqnr"]),
            "role %s: %s, numpy %s",
            role["role"],
            role,
            want,
        )
        check.count("roles")
    for key, n in total.items():
        check.that(told["totals"][key] == n, "totals: %s", key)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "NATIVE", "CONVERTED", "REPORT")
