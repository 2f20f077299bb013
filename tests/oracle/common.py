"""What the checks of this folder share: reading a checkpoint, decoding it, counting.

Nothing here comes from recast. A header is read as its description says (and
check_container.py holds that reading against the safetensors package); the value of
every code comes from ml_dtypes.
"""

import json
import mmap
import os
import sys

import ml_dtypes
import numpy as np

INDEX = "model.safetensors.index.json"
ELEMENT_BYTES = {"F32": 4, "BF16": 2, "F8_E4M3": 1, "F8_E8M0": 1, "I8": 1, "I64": 8}
GROUP, TILE = 32, 128  # weights under one FP4 scale; rows and columns under one FP8 scale


def _table(dtype, count):
    codes = np.arange(count, dtype=np.uint8)
    return codes.view(dtype).astype(np.float32)


# ml_dtypes keeps one FP4 code in a byte, whose upper half is zero.
E2M1 = _table(ml_dtypes.float4_e2m1fn, 16)
E4M3 = _table(ml_dtypes.float8_e4m3fn, 256)
E8M0 = _table(ml_dtypes.float8_e8m0fnu, 256)
# Both codes of a byte: the low nibble is the even column.
E2M1_PAIR = np.stack([np.tile(E2M1, 16), np.repeat(E2M1, 16)], axis=1)


class Check:
    """Counts what was compared; says the first few things that are not so."""

    def __init__(self, title):
        self.title, self.bad, self.counts = title, 0, {}

    def that(self, holds, message, *args):
        if not holds:
            self.bad += 1
            if self.bad <= 10:
                print("FAIL %s: %s" % (self.title, message % args if args else message))
        return bool(holds)

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + n

    def finish(self):
        said = ", ".join("%s %s" % (format(n, ","), what) for what, n in self.counts.items())
        empty = not any(self.counts.values())
        if self.bad or empty:
            print("FAIL %s: %d wrong; %s" % (self.title, self.bad, said or "nothing compared"))
        else:
            print("ok   %s: %s" % (self.title, said))
        sys.stdout.flush()
        return 1 if self.bad or empty else 0


class Tensor:
    def __init__(self, shard, name, entry, data_at):
        begin, end = entry["data_offsets"]
        self.shard, self.name = shard, name
        self.dtype, self.shape = entry["dtype"], entry["shape"]
        self.begin, self.nbytes = data_at + begin, end - begin

    def raw(self):
        """Its bytes, as a view of the file."""
        return np.frombuffer(self.shard.map, np.uint8, self.nbytes, self.begin)


class Shard:
    def __init__(self, path):
        self.path, self.name = path, os.path.basename(path)
        with open(path, "rb") as f:
            self.map = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        self.header_len = int.from_bytes(self.map[:8], "little")
        header = json.loads(self.map[8 : 8 + self.header_len])
        self.metadata = header.pop("__metadata__", None)
        data_at = 8 + self.header_len
        self.tensors = {n: Tensor(self, n, e, data_at) for n, e in header.items()}


class Checkpoint:
    def __init__(self, path):
        self.path = path
        names = sorted(n for n in os.listdir(path) if n.endswith(".safetensors"))
        self.shards = [Shard(os.path.join(path, n)) for n in names]
        self.tensors = {n: t for s in self.shards for n, t in s.tensors.items()}
        self.index = json.loads(self.text(INDEX))

    def text(self, name):
        with open(os.path.join(self.path, name), encoding="utf-8") as f:
            return f.read()

    def ledger(self):
        return [json.loads(line) for line in self.text("recast.jsonl").splitlines()]

    def scale_of(self, name):
        """The tensor that scales `name`, or None. hc_attn_scale and its like are none."""
        if not name.endswith(".weight"):
            return None
        return self.tensors.get(name[: -len(".weight")] + ".scale")

    def parameters(self):
        """Names of all tensors but the scales."""
        scales = {self.scale_of(n).name for n in self.tensors if self.scale_of(n)}
        return [n for n in self.tensors if n not in scales]

    def is_fp4(self, name):
        return self.tensors[name].dtype == "I8" and self.scale_of(name) is not None

    def shape(self, name):
        """In values, not in stored elements."""
        shape = list(self.tensors[name].shape)
        if self.is_fp4(name):
            shape[-1] *= 2
        return shape

    def values(self, name):
        """Every value of a parameter as float32 (I64: as it is)."""
        return decode(self.tensors[name], self.scale_of(name))


def scale_numbers(scale):
    """A scale tensor as float32 [rows, columns]."""
    raw = scale.raw()
    numbers = E8M0[raw] if scale.dtype == "F8_E8M0" else raw.view("<f4")
    return numbers.reshape(scale.shape)


def spread_tiles(per_tile, rows, cols):
    """One number a tile -> one number an element."""
    return np.repeat(np.repeat(per_tile, TILE, axis=0), TILE, axis=1)[:rows, :cols]


def decode(weight, scale):
    raw = weight.raw()
    if weight.dtype == "I8" and scale is not None:
        codes = E2M1_PAIR[raw].reshape(weight.shape[0], -1, GROUP)
        return (codes * scale_numbers(scale)[:, :, None]).reshape(weight.shape[0], -1)
    if weight.dtype == "F8_E4M3":
        rows, cols = weight.shape
        values = E4M3[raw].reshape(rows, cols)
        values *= spread_tiles(scale_numbers(scale), rows, cols)
        return values
    if weight.dtype == "BF16":
        return raw.view(ml_dtypes.bfloat16).astype(np.float32).reshape(weight.shape)
    if weight.dtype == "F32":
        return raw.view("<f4").reshape(weight.shape)
    if weight.dtype == "I64":
        return raw.view("<i8").reshape(weight.shape)
    raise ValueError("%s: dtype %s" % (weight.name, weight.dtype))


def by_tile(matrix, rows=TILE, cols=TILE):
    """[R, C] -> [R / rows, C / cols, rows, cols]"""
    r, c = matrix.shape
    return matrix.reshape(r // rows, rows, c // cols, cols).swapaxes(1, 2)


def same_bits(a, b):
    return a.shape == b.shape and np.array_equal(a.view(np.uint32), b.view(np.uint32))


def run(main, *wanted):
    if len(sys.argv) - 1 < len(wanted):
        sys.exit("usage: %s %s" % (sys.argv[0], " ".join(wanted)))
    np.seterr(all="ignore")  # sums over NaN and 0/0 are looked at, not warned about
    sys.exit(main(*sys.argv[1:]))
