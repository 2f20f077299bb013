"""edit.py KIND DIR - change weights of a checkpoint in place. The sizes stay.

  wide     FP4 codes and scales of all kinds that have an exact FP8 form: tiles of any
           spread 0..14 at any height, tiles whose largest scale byte is below 6, tiles
           that need a smaller scale than the official one; FP8 of every code
  rounded  the same with some tiles that have no exact form
  odd      F32 scales that are not powers of two
  damage   a few bytes of some weights and scales, as a broken disk would
Seeded: the same change each time.
"""

import sys

import numpy as np

import common
from common import GROUP, TILE


def put(tensor, data):
    data = np.ascontiguousarray(data).view(np.uint8).ravel()
    assert data.size == tensor.nbytes
    with open(tensor.shard.path, "r+b") as f:
        f.seek(tensor.begin)
        f.write(data.tobytes())


def wide_tile(rng, kind):
    """Codes and group scales of one tile."""
    groups = (TILE, TILE // GROUP)
    codes = rng.integers(0, 256, (TILE, TILE // 2), dtype=np.uint8)
    spread = int(rng.integers(0, 15))
    top = int(rng.integers(max(spread, 6), 251))
    if kind == "tiny":
        top, spread = int(rng.integers(0, 6)), 0
    scales = top - rng.integers(0, spread + 1, groups)
    if kind == "tiny":
        scales = rng.integers(0, top + 1, groups)
    scales.flat[rng.permutation(scales.size)[:2]] = top, top - spread
    if kind == "rescued":  # the groups of the largest scale hold zeros, of both signs
        low, high = int(rng.integers(30, 100)), int(rng.integers(100, 200))
        zero = rng.integers(0, 2, groups).astype(bool)
        zero.flat[:2] = True, False
        scales = np.where(zero, high, low + rng.integers(0, 3, groups))
        scales.flat[1] = min(low, high - 20)
        zeros = rng.choice(np.array([0x00, 0x80, 0x08, 0x88], dtype=np.uint8), codes.shape)
        codes = np.where(np.repeat(zero, GROUP // 2, axis=1), zeros, codes)
    if kind == "rounded":
        top = int(rng.integers(60, 200))
        scales = top - rng.integers(0, 25, groups)
        scales.flat[:2] = top, top - 24
        codes[0, :] |= 0x11  # an odd multiple of the smallest step, and a big value
    return codes, scales.astype(np.uint8)


def widen(rng, ckpt, kinds, chances):
    for name in sorted(ckpt.parameters()):
        t, scale = ckpt.tensors[name], ckpt.scale_of(name)
        if scale is None:
            continue
        if ckpt.is_fp4(name):
            rows, cols = ckpt.shape(name)
            codes = np.empty((rows, cols // 2), np.uint8)
            scales = np.empty((rows, cols // GROUP), np.uint8)
            for r in range(0, rows, TILE):
                for c in range(0, cols, TILE):
                    one, two = wide_tile(rng, rng.choice(kinds, p=chances))
                    codes[r : r + TILE, c // 2 : (c + TILE) // 2] = one
                    scales[r : r + TILE, c // GROUP : (c + TILE) // GROUP] = two
            put(t, codes)
            put(scale, scales)
        else:  # 2^-9 and 448 under these scales are BF16 numbers
            codes = rng.integers(0, 127, t.nbytes, dtype=np.uint8)
            put(t, codes | rng.integers(0, 2, t.nbytes, dtype=np.uint8) << 7)
            put(scale, rng.integers(3, 247, scale.nbytes, dtype=np.uint8))


def make_odd(rng, ckpt):
    for name in sorted(ckpt.parameters()):
        scale = ckpt.scale_of(name)
        if scale is not None:
            numbers = rng.uniform(1e-4, 2.0, scale.nbytes // 4).astype("<f4")
            numbers[::3] = 2.0 ** rng.integers(-20, 20, numbers[::3].size)
            put(scale, numbers)


def damage(rng, ckpt):
    """Codes change in their low bits, so that none becomes a NaN."""
    names = sorted(ckpt.parameters())
    quantized = [n for n in names if ckpt.scale_of(n)]
    plain = [n for n in names if ckpt.tensors[n].dtype == "BF16" and n not in quantized]
    for name in quantized[::9] + plain[::5]:
        t = ckpt.tensors[name]
        data = t.raw().copy()
        at = rng.integers(0, data.size, 1 + data.size // 1000)
        if t.dtype == "BF16":
            at &= ~1  # the low byte of a number
            data[at] ^= rng.integers(1, 256, at.size, dtype=np.uint8)
        else:
            data[at] ^= np.where(data[at] & 0x78 == 0x78, 0x80, rng.integers(1, 8, at.size)).astype(
                np.uint8
            )
        put(t, data)
    for name in quantized[4::50]:
        numbers = ckpt.scale_of(name).raw().view("<f4").copy()
        numbers[-1] *= 2
        put(ckpt.scale_of(name), numbers)


def main(kind, path):
    rng, ckpt = np.random.default_rng(4), common.Checkpoint(path)
    if kind == "wide":
        widen(rng, ckpt, ["plain", "tiny", "rescued"], [0.8, 0.1, 0.1])
    elif kind == "rounded":
        widen(rng, ckpt, ["plain", "rescued", "rounded"], [0.7, 0.1, 0.2])
    elif kind == "odd":
        make_odd(rng, ckpt)
    elif kind == "damage":
        damage(rng, ckpt)
    else:
        sys.exit("edit.py: no kind '%s'" % kind)
    return 0


if __name__ == "__main__":
    common.run(main, "KIND", "DIR")
