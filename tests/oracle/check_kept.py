"""check_kept.py SOURCE RESULT - what a conversion must not touch, and what it says.

Tensors that are not converted keep their bytes, FP8 weights keep theirs while only the
scales change type; config.json differs as documented and not otherwise; side files are
copied; the digests of recast.jsonl and recast.json are those of the xxhash package.
"""

import json
import os

import numpy as np
import xxhash

import common
from common import E8M0

OURS = ("config.json", common.INDEX, "recast.json", "recast.jsonl", ".recast.lock")


def digest(data):
    return xxhash.xxh3_128_hexdigest(memoryview(data))


def retyped(scale, dtype):
    """The bytes of a dense scale in the other type; None where it is no power of two."""
    raw = scale.raw()
    if scale.dtype == dtype:
        return raw
    if dtype == "F32":
        return E8M0[raw].astype("<f4").view(np.uint8)
    numbers = raw.view("<f4")
    byte = np.searchsorted(E8M0[:255], numbers).clip(0, 254).astype(np.uint8)
    return byte if np.array_equal(E8M0[byte], numbers) else None


def check_tensors(check, src, dst):
    for name in dst.parameters():
        weight, out = src.tensors[name], dst.tensors[name]
        scale, out_scale = src.scale_of(name), dst.scale_of(name)
        if scale is None:
            check.that(
                weight.dtype == out.dtype
                and weight.shape == out.shape
                and np.array_equal(weight.raw(), out.raw()),
                "%s: not kept",
                name,
            )
            check.count("tensors kept")
        elif weight.dtype == out.dtype == "F8_E4M3":
            want = retyped(scale, out_scale.dtype)
            if want is None:
                continue  # check_values.py knows what these become
            check.that(np.array_equal(weight.raw(), out.raw()), "%s: not kept", name)
            check.that(np.array_equal(want, out_scale.raw()), "%s: not the same", out_scale.name)
            check.count("FP8 weights kept")


def check_config(check, src, dst, recipe):
    # Numbers as text, so that 1e-06 and 0.000001 are not the same.
    was = json.loads(src.text("config.json"), parse_float=str, parse_int=str)
    now = json.loads(dst.text("config.json"), parse_float=str, parse_int=str)
    if recipe["to"] == "fp8":
        was["expert_dtype"] = "fp8"
    else:
        was.pop("expert_dtype", None)
        was.pop("quantization_config", None)
    check.that(now == was, "config.json has other differences")
    check.that(list(now) == list(was), "config.json: other order")
    check.count("config keys", len(now))


def check_sides(check, src, dst):
    for folder, _, files in os.walk(src.path):
        for name in files:
            rel = os.path.relpath(os.path.join(folder, name), src.path)
            if rel in OURS or rel.endswith(".safetensors"):
                continue
            want = src.text(rel)
            if rel == "inference/config.json":
                want = {k: v for k, v in json.loads(want).items() if k != "expert_dtype"}
                check.that(json.loads(dst.text(rel)) == want, "%s: not as documented", rel)
            else:
                check.that(dst.text(rel) == want, "%s: not copied", rel)
            check.count("side files")


def check_ledger(check, src, dst):
    summary = json.loads(dst.text("recast.json"))
    seen, both = set(), {"in": xxhash.xxh3_128(), "out": xxhash.xxh3_128()}
    for line in dst.ledger():
        for side, ckpt in (("in", src), ("out", dst)):
            for part in ("weight", "scale"):
                entry = line[side].get(part)
                if entry is None:
                    both[side].update(bytes(16))
                    continue
                t = ckpt.tensors[entry["tensor"]]
                check.that(
                    (t.dtype, t.shape, t.nbytes)
                    == (entry["dtype"], entry["shape"], entry["bytes"]),
                    "%s: the ledger describes another tensor",
                    t.name,
                )
                check.that(digest(t.raw()) == entry["xxh3_128"], "%s: digest (%s)", t.name, side)
                both[side].update(bytes.fromhex(entry["xxh3_128"]))
                check.count("digests")
                if side == "out":
                    seen.add(t.name)
                    check.that(line["shard"] == t.shard.name, "%s: shard", t.name)
    check.that(seen == set(dst.tensors), "the ledger misses tensors")
    check.that(both["in"].hexdigest() == summary["source"]["digest"], "digest of the source")
    check.that(both["out"].hexdigest() == summary["output_digest"], "digest of the output")
    with open(os.path.join(dst.path, "recast.jsonl"), "rb") as f:
        check.that(digest(f.read()) == summary["ledger"]["xxh3_128"], "digest of the ledger")
    check.that(
        [(s.name, len(s.map)) for s in dst.shards]
        == [(s["file"], s["bytes"]) for s in summary["shards"]],
        "recast.json lists other shards",
    )
    return summary["recipe"]


def main(source, result):
    src, dst = common.Checkpoint(source), common.Checkpoint(result)
    check = common.Check("kept %s" % result)
    recipe = check_ledger(check, src, dst)
    check_tensors(check, src, dst)
    if not recipe["tensors"]:
        check.that(set(dst.parameters()) == set(src.parameters()), "other parameters")
    check_config(check, src, dst, recipe)
    check_sides(check, src, dst)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "SOURCE", "RESULT")
