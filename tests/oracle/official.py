"""The official FP4 to FP8 cast, in numpy.

A rendering of cast_e2m1fn_to_e4m3fn() in DeepSeek's inference/convert.py: look every
code up, take the largest scale of a 128x128 tile, divide it by 2^6, multiply the
values by (group scale / that), cast to E4M3; the scale is cast to E8M0. The casts are
those of ml_dtypes, float32 to float8_e4m3fn and float8_e8m0fnu.
"""

import ml_dtypes
import numpy as np

from common import E2M1, GROUP, TILE, by_tile

# The official table drops the sign of zero: code 8 is 0.0 there.
TABLE = np.where(E2M1 == 0, np.float32(0), E2M1)
PAIR = np.stack([np.tile(TABLE, 16), np.repeat(TABLE, 16)], axis=1)


def cast(codes, scale_bytes):
    """uint8 [R, C/2], uint8 [R, C/32] -> E4M3 bytes [R, C], E8M0 bytes [R/128, C/128]."""
    rows, cols = codes.shape[0], 2 * codes.shape[1]
    scale = scale_bytes.view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    tile_scale = by_tile(scale, TILE, TILE // GROUP).max(axis=(2, 3)) / np.float32(2**6)
    repeated = np.repeat(np.repeat(tile_scale, TILE, axis=0), TILE // GROUP, axis=1)
    offset = scale / repeated
    x = PAIR[codes].reshape(rows, cols // GROUP, GROUP) * offset[:, :, None]
    out = x.reshape(rows, cols).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    return out, tile_scale.astype(ml_dtypes.float8_e8m0fnu).view(np.uint8)
