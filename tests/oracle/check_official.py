"""check_official.py SOURCE RESULT - FP8 bytes and scales against the official cast.

For every FP4 tensor that the result has as FP8. A tile is one of
  official   the official cast keeps every value (largest scale byte >= 6): the same
             scale, the same bytes; the sign of zero (code 8), which the official table
             drops and recast keeps, is the only difference
  rescued    the official cast loses values and recast took a smaller scale: it must
             keep every value
  rounded    no scale keeps every value: the same bytes as the official cast, rounding
             included
  tiny       largest scale byte < 6, where the official tile scale leaves E8M0's range:
             scale byte 0 or less loss, and every value kept
The ledger must tell the same story: tiles, exact tiles, the first inexact value.
"""

import numpy as np

import common
import official
from common import E2M1_PAIR, E4M3, E8M0, GROUP, TILE, by_tile


def scale_bytes(check, scale):
    """The E8M0 bytes of a tile scale, F32 or not; F32 must be a power of two."""
    if scale.dtype == "F8_E8M0":
        return scale.raw().reshape(scale.shape)
    numbers = scale.raw().view("<f4").reshape(scale.shape)
    found = np.searchsorted(E8M0[:255], numbers)
    check.that(
        np.array_equal(E8M0[np.minimum(found, 254)], numbers), "%s: not a power of two", scale.name
    )
    return found.astype(np.uint8)


def check_ledger(check, line, exact, source, stored):
    tiles = by_tile(exact).all(axis=(2, 3))
    check.that(
        (line["tiles"], line["tiles_exact"]) == (tiles.size, int(tiles.sum())),
        "%s: ledger says %d of %d tiles",
        line["tensor"],
        line["tiles_exact"],
        line["tiles"],
    )
    if tiles.all():
        check.that("first_inexact" not in line, "%s: ledger names a loss", line["tensor"])
        return
    # Tiles are taken in row-major order, the first place within the band of the first bad one.
    band = np.argwhere(~tiles)[0][0] * TILE
    row, col = np.argwhere(~exact[band : band + TILE])[0]
    row += band
    check.that(
        line["first_inexact"]
        == {
            "row": int(row),
            "column": int(col),
            "source": float(source[row, col]),
            "stored": float(stored[row, col]),
        },
        "%s: first inexact %s",
        line["tensor"],
        line["first_inexact"],
    )


def check_tensor(check, src, dst, name, line):
    weight, scale = src.tensors[name], src.scale_of(name)
    codes = weight.raw().reshape(weight.shape)
    groups = scale.raw().reshape(scale.shape)
    got = dst.tensors[name].raw().reshape(dst.tensors[name].shape)
    got_scale = scale_bytes(check, dst.scale_of(name))
    want, want_scale = official.cast(codes, groups)
    rows, cols = got.shape
    if not check.that(want.shape == got.shape and want_scale.shape == got_scale.shape, name):
        return

    # Values in float64: E4M3 times a power of two is exact there, 2^-142 included.
    magnitudes = E2M1_PAIR[codes].reshape(rows, cols // GROUP, GROUP).astype(np.float64)
    source = (magnitudes * E8M0[groups].astype(np.float64)[:, :, None]).reshape(rows, cols)
    tiles = common.spread_tiles(E8M0[got_scale].astype(np.float64), rows, cols)
    ours = E4M3[got].astype(np.float64) * tiles
    tiles = common.spread_tiles(E8M0[want_scale].astype(np.float64), rows, cols)
    theirs = E4M3[want].astype(np.float64) * tiles

    negative_zero = np.stack([codes & 15, codes >> 4], axis=2).reshape(rows, cols) == 8
    same = np.where(negative_zero, (want == 0) & (got == 0x80), want == got)
    same = by_tile(same).all(axis=(2, 3)) & (want_scale == got_scale)
    kept = by_tile(ours == source).all(axis=(2, 3))
    official_kept = by_tile(theirs == source).all(axis=(2, 3))
    tiny = by_tile(groups, TILE, TILE // GROUP).max(axis=(2, 3)) < 6
    rescued = ~tiny & ~official_kept & kept
    rounded = ~tiny & ~official_kept & ~kept

    check.that((same | tiny | rescued)[~rounded].all(), "%s: bytes differ", name)
    check.that(same[rounded].all(), "%s: rounded otherwise", name)
    check.that((got_scale < want_scale)[rescued].all(), "%s: the scale of a rescue", name)
    check.that(kept[tiny].all(), "%s: a value is lost under a tiny scale", name)
    check_ledger(check, line, ours == source, source, ours)
    check.count("official tiles", int((~tiny & official_kept).sum()))
    check.count("values", got.size)
    for what, which in (("rescued", rescued), ("rounded", rounded), ("tiny", tiny)):
        if which.any():
            check.count(what, int(which.sum()))
    check.count("-0 codes", int(negative_zero.sum()))


def main(source, result):
    src, dst = common.Checkpoint(source), common.Checkpoint(result)
    check = common.Check("official cast %s" % result)
    ledger = {line["tensor"]: line for line in dst.ledger()}
    names = [n for n in src.parameters() if src.is_fp4(n) and n in dst.tensors]
    for name in names:
        if check.that(dst.tensors[name].dtype == "F8_E4M3", "%s is not FP8", name):
            check_tensor(check, src, dst, name, ledger[name])
    check.count("tensors", len(names))
    return check.finish()


if __name__ == "__main__":
    common.run(main, "SOURCE", "RESULT")
