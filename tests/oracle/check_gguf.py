"""check_gguf.py SOURCE NAME.gguf FILE... - a converted model as gguf-py sees it.

NAME.gguf is what the ledger is called after; without FILEs it is the file.

gguf-py opens the files, finds every tensor that the ledger names and no other, and decodes
it; the source is decoded with the tables of ml_dtypes. What the ledger calls exact must be
equal, what was rounded must have the signal-to-noise ratio that the ledger says, and the
types that gguf-py can write itself must have its very bytes.
"""

import json
import math
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

import common

PLAIN = {Q.F32: "<f4", Q.F16: "<f2", Q.I32: "<i4"}
# gguf-py's own encoders. MXFP4 is not among them: the codes of FP4 are kept, not found anew.
WRITES = {Q.Q8_0, Q.Q4_0, Q.BF16, Q.F16}


def ledger_of(path):
    stem = path[: -len(".gguf")]
    with open(stem + ".recast.jsonl", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def decoded(tensor):
    """A GGUF tensor's values, experts and rows flattened into rows."""
    kind = tensor.tensor_type
    if kind in PLAIN:
        flat = tensor.data.view(PLAIN[kind]).astype(np.float64 if kind == Q.I32 else np.float32)
    else:
        flat = gguf.quants.dequantize(tensor.data, kind)
    cols = int(tensor.shape[0])
    return flat.reshape(-1, cols)


def source_values(src, name):
    values = np.asarray(src.values(name))
    return values.reshape(-1, values.shape[-1] if values.ndim else 1)


def sqnr(want, got):
    want, got = want.astype(np.float64), got.astype(np.float64)
    noise = float(((want - got) ** 2).sum())
    return math.inf if noise == 0 else 10 * math.log10(float((want**2).sum()) / noise)


def check_bytes(check, tensor, first, want, name):
    """The bytes that gguf-py's own encoder makes of the source."""
    kind = tensor.tensor_type
    if kind not in WRITES or want.shape[1] != int(tensor.shape[0]):
        return  # a part of a wider matrix has no rows of its own
    theirs = gguf.quants.quantize(want.astype(np.float32), kind).view(np.uint8)
    theirs = theirs.reshape(want.shape[0], -1)
    ours = tensor.data.view(np.uint8).reshape(-1, theirs.shape[1])[first : first + len(theirs)]
    if check.that(np.array_equal(ours, theirs), "%s: not gguf-py's %s bytes", name, kind.name):
        check.count("bytes as gguf-py writes them", theirs.size)


def check_line(check, src, tensor, values, line, seen):
    name, out = line["in"]["weight"]["tensor"], line["out"]["weight"]
    want = source_values(src, name)
    rows, cols = want.shape
    first = line.get("expert", 0) * rows
    # e_proj and h_proj lie side by side
    col = cols if name.endswith("h_proj.weight") and values.shape[1] == 2 * cols else 0
    got = values[first : first + rows, col : col + cols]
    seen[tensor.name] = seen.get(tensor.name, 0) + got.size
    check.that(out["dtype"] == tensor.tensor_type.name, "%s: %s", name, tensor.tensor_type.name)
    check_bytes(check, tensor, first, want, name)
    if line["op"] == "encode" and "changed" in line:
        said = line.get("sqnr_db", math.inf)
        seen_db = sqnr(want, got)
        same = said == seen_db or abs(said - seen_db) < 1e-6 * abs(seen_db)
        check.that(same, "%s: %.9g dB, the ledger says %.9g", name, seen_db, said)
        check.that(int((want != got).sum()) == line["changed"], "%s: changed values", name)
        check.count("rounded values", got.size)
    else:
        check.that(np.array_equal(want, got), "%s: values differ", name)
        check.count("equal values", got.size)


def check_file(check, src, path, lines):
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}
    seen, values = {}, {}
    for line in lines:
        name = line["out"]["weight"]["tensor"]
        if not check.that(name in tensors, "%s: not in %s", name, path):
            continue
        if name not in values:
            values[name] = decoded(tensors[name])
        check_line(check, src, tensors[name], values[name], line, seen)
    for name, t in tensors.items():
        check.that(seen.get(name) == t.n_elements, "%s: not all of it in the ledger", name)
    check.count("keys", len(reader.fields))
    check.count("tensors", len(tensors))
    if "general.architecture" not in reader.fields:  # a later split
        return
    arch = reader.fields["general.architecture"].contents()
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    check.that(len(tokens) == reader.fields[arch + ".vocab_size"].contents(), "tokens")


def main(source, named, *files):
    src = common.Checkpoint(source)
    lines = ledger_of(named)
    check = common.Check("gguf %s" % os.path.basename(named))
    names = [os.path.basename(path) for path in files or [named]]
    check.that({x["shard"] for x in lines} <= set(names), "files that were not looked at")
    for path, name in zip(files or [named], names):
        check_file(check, src, path, [x for x in lines if x["shard"] == name])
    return check.finish()


common.run(main, "SOURCE", "FILE")
