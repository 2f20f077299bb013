#!/usr/bin/env python3
"""make_act_round.py [--check] DIR KERNEL - write the vectors of tests/data/act_round, or compare.

KERNEL is kernel.py of a public rendering of DeepSeek-V4's reference in plain PyTorch. It gives
the scales and what is rounded; FP8 is rounded by torch, FP4 by ml_dtypes, since the rendering
leaves FP4 out. Needs torch, numpy and ml_dtypes. No part of recast takes part.
"""

import importlib.util
import os
import sys

import ml_dtypes
import numpy as np
import torch

COLS = 128


def load(path):
    spec = importlib.util.spec_from_file_location("kernel", path)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def bf16(x):
    return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def halves(values, scale):
    """The numbers of a format, what lies halfway between them and beside that, in blocks whose
    first element is the largest number, so that the block's scale is `scale`."""
    values = np.float32(values)
    middle = (values[:-1] + values[1:]) / np.float32(2)
    near = [np.nextafter(middle, np.float32(s)) for s in (0, 1000)]
    x = np.concatenate([values, middle, *near])
    x = np.concatenate([x, -x])
    x = np.append(x, np.zeros(-len(x) % (COLS // 4), np.float32))
    x = x.reshape(-1, COLS // 4)
    x[:, 0] = values[-1]
    x = x.ravel()
    x = np.append(x, np.zeros(-len(x) % COLS, np.float32)).reshape(-1, COLS)
    return x * np.float32(scale)


def rows():
    raw = np.random.PCG64(11).random_raw(64 * COLS)
    u = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    u = u.reshape(64, COLS)
    gauss = np.sqrt(-2 * np.log(u[:32] + 2.0**-60)) * np.cos(2 * np.pi * u[32:])
    gauss = gauss.astype(np.float32)
    wide = gauss[20:24] * np.exp2(np.round(20 * u[:4] - 10)).astype(np.float32)
    outlier = gauss[24:26].copy()
    outlier[:, 37] *= 300
    tiny = gauss[26:28] * np.float32([[1e-6], [1e-40]])
    zero = np.where(u[4:5] < 0.5, np.float32(0), np.float32(-0.0))
    zero = zero.astype(np.float32)
    huge = gauss[28:30] * np.float32([[1e37], [1e20]])
    e4m3 = np.arange(127, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    scales = 2.0 ** np.arange(8).astype(np.float32)[:, None]
    return np.concatenate(
        [
            bf16(gauss[:8] * scales),
            gauss[8:14],
            bf16(wide),
            outlier,
            tiny,
            zero,
            huge,
            halves(e4m3, 2.0**-3),
            halves(e2m1, 2.0**4),
        ]
    ).astype("<f4")


def scale_of(kernel, blocks, least, inverse):
    return kernel._pow2_ceil(blocks.abs().amax(dim=-1, keepdim=True).clamp_min(least) * inverse)


def fp8(kernel, x, block):
    q, s = kernel.act_quant(torch.from_numpy(x), block, scale_fmt="ue8m0")
    return (q.float().view(-1, block) * s.view(-1, 1)).view(x.shape).numpy()


def fp4(kernel, x):
    blocks = torch.from_numpy(x).view(-1, 32)
    s = scale_of(kernel, blocks, 6 * 2.0**-126, 1.0 / kernel.FP4_MAX).numpy()
    kept = kernel.fp4_act_quant(torch.from_numpy(x.copy()), 32).numpy().reshape(-1, 32)
    codes = (kept / s).astype(ml_dtypes.float4_e2m1fn)
    return (codes.astype(np.float32) * s).reshape(x.shape)


def hadamard(kernel, x):
    """In float64: exact but for its last bits."""
    return kernel.hadamard_transform(torch.from_numpy(x).double(), COLS**-0.5).numpy()


def main(argv):
    check = argv[:1] == ["--check"]
    if len(argv) != 2 + check:
        sys.exit("usage: make_act_round.py [--check] DIR KERNEL")
    kernel, x, bad = load(argv[-1]), rows(), 0
    made = {
        "rows.f32": x,
        "rows.fp8_128": fp8(kernel, x, 128),
        "rows.fp8_64": fp8(kernel, x, 64),
        "rows.fp4_32": fp4(kernel, x),
        "rows.hadamard": hadamard(kernel, x[:8]),
    }
    for name, data in made.items():
        path = os.path.join(argv[-2], name)
        if check:
            with open(path, "rb") as f:
                if f.read() != data.tobytes():
                    print("FAIL act_round: %s differs" % path)
                    bad = 1
        else:
            data.tofile(path)
    if not bad:
        print("ok   act_round: %d rows of %d" % x.shape)
    return bad


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main(sys.argv[1:]))
