"""check_int4.py RECAST NATIVE [CHECKPOINT...] - what recast reads from INT4 containers.

Experts of NATIVE (FP4) are put into 4-bit integers: by the compressor of compressed-tensors,
symmetric and with zero points, and by AutoAWQ's packing written out in numpy. Every such
checkpoint, and each one that is named besides, is decompressed again: by compressed-tensors'
decompressor and unpack_from_int32, and by AutoAWQ's dequantization in numpy. The values go into a
copy as plain F32, half of the matrices at a time (some INT4 must stay for the others to be
allowed), and `recast verify` must find every value of the two equal; with the last bit of one
changed, exactly one unequal.

Status 77: torch or compressed-tensors is not there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

import common

ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # nibble i of a word of AutoAWQ's holds this one of its 8 outputs
WEIGHT = re.compile(r"(.*)\.(weight_packed|qweight)$")
NUMPY = {"I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4"}


# -- AutoAWQ, by its formulas ------------------------------------------------------------------


def awq_pack(codes):
    """[K, N] -> words [K, N / 8]"""
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.uint32)
    for i, output in enumerate(ORDER):
        words |= codes[:, output::8].astype(np.uint32) << np.uint32(4 * i)
    return words.view(np.int32)


def awq_unpack(words):
    """words [K, N / 8] -> [K, N]"""
    shifts = np.arange(0, 32, 4, dtype=np.uint32)
    nibbles = words.view(np.uint32)[:, :, None] >> shifts & np.uint32(15)
    return nibbles[:, :, np.argsort(ORDER)].reshape(words.shape[0], -1)


def awq_dequantize(qweight, qzeros, scales):
    group = qweight.shape[0] // scales.shape[0]
    zeros = np.repeat(awq_unpack(qzeros), group, axis=0).astype(np.float32)
    return (awq_unpack(qweight).astype(np.float32) - zeros) * np.repeat(
        scales.astype(np.float32), group, axis=0
    )


def awq_quantize(weight, group):
    rows, cols = weight.shape
    grouped = weight.reshape(rows, cols // group, group)
    high = np.maximum(grouped.max(axis=2), 0)
    low = np.minimum(grouped.min(axis=2), 0)
    scale = np.maximum((high - low) / 15, 1e-5).astype(np.float16)
    wide = scale.astype(np.float32)
    zero = np.clip(np.rint(-low / wide), 0, 15)
    code = np.clip(np.rint(grouped / wide[:, :, None]) + zero[:, :, None], 0, 15)
    return {
        "qweight": ("I32", awq_pack(code.reshape(rows, cols).T.astype(np.uint32))),
        "qzeros": ("I32", awq_pack(zero.T.astype(np.uint32))),
        "scales": ("F16", np.ascontiguousarray(scale.T)),
    }


# -- compressed-tensors, by itself -------------------------------------------------------------


def scheme_of(group, symmetric):
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(
        num_bits=4, type="int", symmetric=symmetric, strategy="group", group_size=group
    )
    return QuantizationScheme(targets=["Linear"], weights=weights)


def ct_compressor():
    from compressed_tensors.compressors import BaseCompressor

    return BaseCompressor.get_value_from_registry("pack-quantized")


def ct_quantize(weight, group, symmetric):
    import torch
    from compressed_tensors.quantization.utils import calculate_qparams

    scheme = scheme_of(group, symmetric)
    w = torch.from_numpy(weight)
    grouped = w.reshape(w.shape[0], -1, group)
    scale, zero = calculate_qparams(grouped.amin(2), grouped.amax(2), scheme.weights)
    scale = scale.to(torch.bfloat16)
    parts = {"weight": w, "weight_scale": scale.float()}
    if not symmetric:
        parts["weight_zero_point"] = zero.to(torch.int8)
    made = ct_compressor().compress(parts, scheme)
    out = {
        "weight_packed": ("I32", made["weight_packed"].numpy()),
        "weight_shape": ("I64", made["weight_shape"].numpy().astype(np.int64)),
        "weight_scale": ("BF16", scale.contiguous().view(torch.int16).numpy()),
    }
    if not symmetric:
        out["weight_zero_point"] = ("I32", made["weight_zero_point"].numpy())
    return out


def ct_decompress(packed, scale, shape, zero):
    """Scales in float32, so that its products are not rounded."""
    import torch

    parts = {
        "weight_packed": torch.from_numpy(packed),
        "weight_scale": torch.from_numpy(scale),
        "weight_shape": torch.from_numpy(shape),
    }
    if zero is not None:
        parts["weight_zero_point"] = torch.from_numpy(zero)
    group = int(shape[1]) // scale.shape[1]
    return ct_compressor().decompress(parts, scheme_of(group, zero is None))["weight"].numpy()


# -- checkpoints -------------------------------------------------------------------------------


def load(folder):
    """name -> (dtype, shape, bytes)"""
    out = {}
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".safetensors")):
        for tensor in common.Shard(os.path.join(folder, name)).tensors.values():
            out[tensor.name] = (tensor.dtype, list(tensor.shape), tensor.raw().tobytes())
    return out


def save(tensors, config, folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head)
        for _, _, data in tensors.values():
            f.write(data)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)


def array(entry):
    dtype, shape, data = entry
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, NUMPY[dtype]).reshape(shape).copy()


def values(tensors, base):
    """A matrix [rows, columns] in float32, as its container's own program has it."""
    if base + ".qweight" in tensors:
        part = [array(tensors[base + end]) for end in (".qweight", ".qzeros", ".scales")]
        return np.ascontiguousarray(awq_dequantize(*part).T)
    zero = tensors.get(base + ".weight_zero_point")
    scale = array(tensors[base + ".weight_scale"]).astype(np.float32)
    return ct_decompress(
        array(tensors[base + ".weight_packed"]),
        scale,
        array(tensors[base + ".weight_shape"]).astype(np.int64),
        array(zero) if zero else None,
    )


def read_config(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        return json.load(f)


def make(native, folder, method, group, symmetric=False):
    source, tensors = common.Checkpoint(native), load(native)
    config = read_config(native)
    for name in [n for n in tensors if ".ffn.experts." in n and n.endswith(".weight")]:
        weight = source.values(name)
        base = name[: -len(".weight")]
        del tensors[name], tensors[base + ".scale"]
        made = (
            awq_quantize(weight, group)
            if method == "awq"
            else ct_quantize(weight, group, symmetric)
        )
        for end, (dtype, data) in made.items():
            tensors[base + "." + end] = (dtype, list(data.shape), data.tobytes())
    weights = {"num_bits": 4, "type": "int", "symmetric": symmetric, "group_size": group}
    weights["strategy"] = "group"
    config["quantization_config"] = (
        {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True}
        if method == "awq"
        else {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        }
    )
    save(tensors, config, folder)


# -- the comparison ----------------------------------------------------------------------------


def verify(recast, a, b, report):
    args = [recast, "verify", a, b, "--quiet", "--tensors", "*.weight", "--json", report]
    status = subprocess.run(args, stderr=subprocess.PIPE, text=True, check=False)
    if not os.path.exists(report):
        return status.returncode, status.stderr
    with open(report, encoding="utf-8") as f:
        return status.returncode, json.load(f)


def check_half(check, recast, folder, work, bases, change):
    """The matrices `bases` as plain F32, against the same in INT4."""
    tensors = load(folder)
    plain = dict(tensors)
    for i, base in enumerate(bases):
        y = values(tensors, base)
        if change and i == len(bases) // 2:
            y.view(np.uint32).reshape(-1)[y.size // 3] ^= 1
        for end in (
            "weight_packed weight_scale weight_shape weight_zero_point qweight qzeros scales".split()
        ):
            plain.pop(base + "." + end, None)
        plain[base + ".weight"] = ("F32", list(y.shape), y.tobytes())
        check.count("values", 0 if change else y.size)
    half, report = os.path.join(work, "half"), os.path.join(work, "report.json")
    save(plain, read_config(folder), half)
    if os.path.exists(report):
        os.remove(report)
    status, said = verify(recast, folder, half, report)
    if not check.that(isinstance(said, dict), "%s: %s", folder, said):
        return
    differ = sum(role["differ"] for role in said["roles"])
    want = (1, 1) if change else (0, 0)
    check.that((status, differ) == want, "%s: status %d, %d values differ", folder, status, differ)
    check.count("changes found" if change else "comparisons")


def check_checkpoint(check, recast, folder, work):
    bases = sorted(m.group(1) for m in map(WEIGHT.match, load(folder)) if m)
    check.that(len(bases) > 1, "%s: nothing in 4-bit integers", folder)
    for half in (bases[::2], bases[1::2]):
        check_half(check, recast, folder, work, half, False)
    check_half(check, recast, folder, work, bases[::2], True)


def main(recast, native, *others):
    try:
        import torch  # noqa: F401
        from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32  # noqa: F401
    except ImportError as e:
        print("oracle: check_int4 skipped: %s" % e)
        return 77
    check = common.Check("int4")
    word = awq_pack(np.arange(8, dtype=np.uint32)[None, :])
    check.that(word.view(np.uint32)[0, 0] == 0x75316420, "AutoAWQ's word is %#x", int(word[0, 0]))
    with tempfile.TemporaryDirectory() as work:
        made = []
        for name, how in {
            "symmetric": ("ct", 32, True),
            "zeros": ("ct", 64, False),
            "awq": ("awq", 128),
        }.items():
            made.append(os.path.join(work, name))
            make(native, made[-1], *how)
        for folder in made + list(others):
            check_checkpoint(check, recast, folder, work)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "RECAST", "NATIVE")
