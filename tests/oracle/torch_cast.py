"""torch_cast.py SOURCE RESULT - the official cast once more, in torch.

Optional: it runs where the system's Python has torch already, and needs nothing else.
The operations are those of cast_e2m1fn_to_e4m3fn() in DeepSeek's inference/convert.py.
Tiles whose official form loses a value or whose scale leaves E8M0's range are left to
check_official.py.
"""

import json
import os
import sys

import torch

MAGNITUDES = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
TABLE = torch.tensor(MAGNITUDES + [0.0] + [-m for m in MAGNITUDES[1:]])


def read(path):
    """name -> (dtype, shape, uint8 tensor)"""
    out = {}
    for shard in sorted(n for n in os.listdir(path) if n.endswith(".safetensors")):
        with open(os.path.join(path, shard), "rb") as f:
            size = int.from_bytes(f.read(8), "little")
            header = json.loads(f.read(size))
            header.pop("__metadata__", None)
            for name, entry in header.items():
                if ".experts." not in name:
                    continue
                begin, end = entry["data_offsets"]
                f.seek(8 + size + begin)
                data = torch.frombuffer(bytearray(f.read(end - begin)), dtype=torch.uint8)
                out[name] = (entry["dtype"], entry["shape"], data)
    return out


def tiles(x, rows, cols):
    r, c = x.shape
    return x.view(r // rows, rows, c // cols, cols).transpose(1, 2)


def cast(codes, scale):
    values = torch.stack([TABLE[(codes & 15).long()], TABLE[(codes >> 4).long()]], dim=-1)
    values = tiles(values.flatten(1), 128, 128)
    scale = tiles(scale, 128, 4)
    tile_scale = scale.amax(dim=(2, 3), keepdim=True) / 2**6
    product = values * (scale / tile_scale).repeat_interleave(32, dim=3)
    tile_scale = tile_scale[:, :, 0, 0]
    return product, product.to(torch.float8_e4m3fn), tile_scale


def main(source, result):
    src, dst = read(source), read(result)
    compared = bad = 0
    for name, (dtype, shape, data) in src.items():
        if dtype != "I8" or name not in dst:
            continue
        _, scale_shape, scale = src[name[: -len("weight")] + "scale"]
        scale = scale.view(torch.float8_e8m0fnu).float().view(scale_shape)
        product, want, want_scale = cast(data.view(shape), scale)
        got = tiles(dst[name][2].view(dst[name][1]), 128, 128)
        got_type, _, got_scale = dst[name[: -len("weight")] + "scale"]
        got_type = torch.float32 if got_type == "F32" else torch.float8_e8m0fnu
        got_scale = got_scale.view(got_type).float().view(want_scale.shape)
        kept = (want.float() == product).flatten(2).all(dim=2) & (want_scale >= 2.0**-127)
        # The sign of zero is dropped by the official table and kept by recast.
        same = (want.view(torch.uint8) == got) | ((product == 0) & (got & 127 == 0))
        same = same.flatten(2).all(dim=2) & (got_scale == want_scale)
        bad += int((kept & ~same).sum())
        compared += int(kept.sum())
    ok = compared > 0 and bad == 0
    said = "%d tiles, %d differ; torch %s" % (compared, bad, torch.__version__)
    print("%s torch %s: %s" % ("ok  " if ok else "FAIL", result, said))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
