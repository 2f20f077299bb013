"""FP4 -> FP8 in 128x128 tiles, as Python does it: a numpy byte table, and PyTorch's official way.

Both keep to the official rule (tile scale = largest group scale / 2^6). One matrix of the size
of a Flash expert at a time, one thread and two; the median of five.
"""

import os
import statistics
import sys
import threading
import time

import numpy as np

ROWS, COLS = 2048, 4096
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=np.float32)


def e4m3(value):
    """Code of a value that E4M3 holds exactly."""
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    values = np.where(exponent == 0, mantissa * 2.0**-9, (1 + mantissa / 8) * 2.0 ** (exponent - 7))
    return int(np.argmin(np.abs(values - value)))


def make_table():
    """[shift + 8][byte] -> the two FP8 codes of one byte of FP4 codes, shift -8 .. 6."""
    table = np.zeros((15, 256), dtype=np.uint16)
    for shift in range(-8, 7):
        one = [e4m3(E2M1[c & 7] * 2.0**shift) | (c & 8) << 4 for c in range(16)]
        for byte in range(256):
            table[shift + 8, byte] = one[byte & 15] | one[byte >> 4] << 8
    return table


def numpy_way(codes, scales, table):
    groups = scales.reshape(ROWS // 128, 128, COLS // 128, 4)
    tile = groups.max(axis=(1, 3)) - 6
    shift = (groups.astype(np.int16) - tile[:, None, :, None] + 8).reshape(ROWS, COLS // 32)
    index = shift[:, :, None] * 256 + codes.reshape(ROWS, COLS // 32, 16)
    return table.reshape(-1)[index].view(np.uint8), tile


def torch_way(torch, codes, scales):
    lut = torch.tensor(list(E2M1) + [-v for v in E2M1], dtype=torch.float32)
    low, high = (codes & 15).long(), (codes >> 4).long()
    x = torch.stack([lut[low], lut[high]], dim=-1).flatten(1)
    x = x.view(ROWS // 128, 128, COLS // 128, 128).transpose(1, 2)
    s = torch.exp2(scales.float() - 127).view(ROWS // 128, 128, COLS // 128, 4).transpose(1, 2).flatten(2)
    tile = s.amax(dim=-1, keepdim=True) / 64
    factor = (s / tile).unflatten(-1, (128, 4)).repeat_interleave(32, dim=-1)
    x = (x * factor).transpose(1, 2).reshape(ROWS, COLS)
    return (x.to(torch.float8_e4m3fn) if hasattr(torch, "float8_e4m3fn") else x), tile


def rate(work, threads):
    def once():
        start = time.perf_counter()
        crew = [threading.Thread(target=work) for _ in range(threads)]
        for t in crew:
            t.start()
        for t in crew:
            t.join()
        return time.perf_counter() - start

    once()
    return threads * ROWS * COLS / statistics.median(once() for _ in range(5)) / 1e6


def main():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (ROWS, COLS // 2), dtype=np.uint8)
    scales = rng.integers(118, 123, (ROWS, COLS // 32), dtype=np.uint8)
    table = make_table()
    for threads in (1, 2):
        print(f"numpy byte table, {threads} thread(s): {rate(lambda: numpy_way(codes, scales, table), threads):.0f} M el/s")
    try:
        import torch
    except ImportError:
        print("PyTorch: not installed here")
        return
    if not hasattr(torch, "float8_e4m3fn"):
        print(f"PyTorch {torch.__version__} has no float8: the last cast is left out below")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        c, s = torch.from_numpy(codes), torch.from_numpy(scales)
        print(f"PyTorch, official way, {threads} thread(s): {rate(lambda: torch_way(torch, c, s), 1):.0f} M el/s")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    sys.exit(main())
