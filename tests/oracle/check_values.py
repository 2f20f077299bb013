"""check_values.py SOURCE RESULT... - every decoded value of the results is the source's.

Both sides are decoded to float32 with the tables of ml_dtypes and compared bit for
bit, the sign of zero included. Where the source has FP8 under a scale that is no power
of two, BF16 is the rounded product instead (ml_dtypes' cast), and FP8 under E8M0
scales the nearest code under the next power of two.
"""

import ml_dtypes
import numpy as np

import common
from common import E4M3, E8M0, TILE, same_bits, scale_numbers, spread_tiles

# Between code k and k + 1 of E4M3's non-negative numbers.
MIDDLE = (E4M3[:126].astype(np.float64) + E4M3[1:127].astype(np.float64)) / 2


def nearest_e4m3(x):
    """float64 -> E4M3 codes: to nearest, ties to even, 448 at most. (ml_dtypes casts
    float64 by way of float32, which would round twice.)"""
    size = np.abs(x)
    low, high = np.searchsorted(MIDDLE, size, "left"), np.searchsorted(MIDDLE, size, "right")
    code = np.where(low % 2 == 0, low, high)  # low < high on ties only
    return (code | np.where(np.signbit(x), 0x80, 0)).astype(np.uint8)


def rescaled(weight, scale):
    """What FP8 under F32 scales becomes under E8M0 scales: codes and scale bytes."""
    numbers = scale_numbers(scale).astype(np.float64)
    byte = np.searchsorted(E8M0[:255].astype(np.float64), numbers, "left").clip(0, 254)
    ratio = numbers / E8M0[byte].astype(np.float64)
    rows, cols = weight.shape
    value = E4M3[weight.raw()].reshape(rows, cols).astype(np.float64)
    return nearest_e4m3(value * spread_tiles(ratio, rows, cols)), byte.astype(np.uint8)


def has_odd_scale(scale):
    if scale is None or scale.dtype != "F32":
        return False
    return not np.isin(scale_numbers(scale), E8M0[:255]).all()


def check_odd(check, src, dst, name):
    """FP8 whose scales are not powers of two: exact under F32 scales only."""
    weight, scale, out = src.tensors[name], src.scale_of(name), dst.tensors[name]
    if out.dtype == "BF16":
        want = src.values(name).astype(ml_dtypes.bfloat16).view(np.uint16)
        got = out.raw().view("<u2").reshape(out.shape)
        check.that(np.array_equal(want, got), "%s: not the rounded product", name)
    elif dst.scale_of(name).dtype == "F8_E8M0":
        codes, byte = rescaled(weight, scale)
        check.that(np.array_equal(codes.ravel(), out.raw()), "%s: not the nearest codes", name)
        check.that(
            np.array_equal(byte.ravel(), dst.scale_of(name).raw()), "%s: not the next scale", name
        )
    else:
        check.that(same_bits(src.values(name), dst.values(name)), "%s: values differ", name)
    check.count("rounded values", int(np.prod(out.shape)))


def check_pair(source, result):
    src, dst = common.Checkpoint(source), common.Checkpoint(result)
    check = common.Check("values %s" % result)
    names = [n for n in dst.parameters() if n in src.tensors]
    check.that(len(names) == len(dst.parameters()), "parameters that the source lacks")
    for name in names:
        weight, out = src.tensors[name], dst.tensors[name]
        quantized = src.scale_of(name) is not None
        shape = src.shape(name)
        check.that(dst.shape(name) == shape, "%s: shape %s", name, dst.shape(name))
        if not quantized:
            check.that(
                weight.dtype == out.dtype and np.array_equal(weight.raw(), out.raw()),
                "%s: bytes differ",
                name,
            )
            check.count("plain tensors")
            continue
        scale = dst.scale_of(name)
        check.that((scale is None) == (out.dtype == "BF16"), "%s: scale", name)
        if scale is not None:
            check.that(
                scale.shape == [-(-shape[0] // TILE), -(-shape[1] // TILE)], "%s: shape", scale.name
            )
            check.that(np.isfinite(scale_numbers(scale)).all(), "%s: not finite", scale.name)
        check.count("quantized tensors")
        if has_odd_scale(src.scale_of(name)):
            check_odd(check, src, dst, name)
            continue
        check.that(same_bits(src.values(name), dst.values(name)), "%s: values differ", name)
        check.count("values bit for bit", int(np.prod(shape)))
    return check.finish()


def main(source, *results):
    return max([check_pair(source, result) for result in results])


if __name__ == "__main__":
    common.run(main, "SOURCE", "RESULT...")
