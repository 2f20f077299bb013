"""The native checkpoint: what its number formats make of the weights, and its files."""
import json
import os
import re

import torch
from safetensors.torch import load_file, save_file

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
HALFWAY = (E2M1[1:] + E2M1[:-1]) / 2
GROUP, TILE = 32, 128
FP8 = re.compile(r"attn\.(indexer\.)?(wq_a|wq_b|wkv|wo_a|wo_b)\.|shared_experts|[eh]_proj")


def stored_as(name):
    if ".experts." in name:
        return "fp4"
    if "compressor" not in name and FP8.search(name):
        return "fp8"
    if re.search(r"hc_|attn_sink|\.ape|gate\.bias|tid2eid", name):
        return "as it is"
    return "bf16"


def power_of_two(x):
    return torch.exp2(torch.ceil(torch.log2(x.clamp(min=2.0 ** -100))))


def fp4(w):
    """-> codes, one scale a group of a row: both as [.., groups, 32] and [.., groups, 1]"""
    g = w.unflatten(-1, (-1, GROUP))
    scale = power_of_two(g.abs().amax(-1, True) / 6)
    code = torch.bucketize((g / scale).abs(), HALFWAY)
    return torch.where(g < 0, code + 8, code), scale


def fp4_values(code, scale):
    return torch.where(code < 8, 1.0, -1.0) * E2M1[code % 8] * scale


def fp8(w):
    """-> E4M3 [rows / 128, 128, columns / 128, 128], scale [rows / 128, 1, columns / 128, 1]"""
    t = w.unflatten(-1, (-1, TILE)).unflatten(0, (-1, TILE))
    scale = power_of_two(t.abs().amax((1, 3), True) / 448)
    return (t / scale).to(torch.float8_e4m3fn), scale


def fake(name, w):
    """The weight as the checkpoint will hold it; gradients pass as if nothing had happened."""
    kind = stored_as(name)
    with torch.no_grad():
        if kind == "fp4":
            q = fp4_values(*fp4(w)).flatten(-2)
        elif kind == "fp8":
            code, scale = fp8(w)
            q = (code.float() * scale).reshape(w.shape)
        else:
            q = w.bfloat16().float() if kind == "bf16" else w
    return w + (q - w).detach()


def e8m0(scale):
    return (torch.log2(scale) + 127).round().to(torch.uint8).view(torch.float8_e8m0fnu)


def stored(name, w):
    """-> {name: tensor} as in the files; the experts of a layer become single matrices."""
    kind, w = stored_as(name), w.detach()
    if kind == "fp4" and w.dim() == 3:
        return {k: v for e in range(len(w))
                for k, v in stored(name.replace("experts.", f"experts.{e}."), w[e]).items()}
    scale_name = re.sub("weight$", "scale", name)
    if kind == "fp4":
        code, scale = fp4(w)
        code = code.flatten(-2).to(torch.uint8)
        packed = code[:, ::2] | code[:, 1::2] << 4
        return {name: packed.view(torch.int8), scale_name: e8m0(scale.squeeze(-1))}
    if kind == "fp8":
        code, scale = fp8(w)
        return {name: code.reshape(w.shape), scale_name: e8m0(scale[:, 0, :, 0])}
    return {name: w.bfloat16() if kind == "bf16" else w}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(value, indent=2) + "\n")


def write(out, c, p):
    """Shards as in the releases: the embedding, each layer, the head, the MTP block."""
    layers, shards = c["num_hidden_layers"], {}
    for name, w in p.items():
        m = re.match(r"layers\.(\d+)\.", name)
        k = (0 if name == "embed.weight" else int(m[1]) + 1 if m
             else layers + 2 if name.startswith("mtp.") else layers + 1)
        shards.setdefault(k, {}).update(stored(name, w))
    where, total = {}, 0
    for k, tensors in sorted(shards.items()):
        file = f"model-{k + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file({n: t.contiguous() for n, t in tensors.items()}, os.path.join(out, file))
        os.chmod(os.path.join(out, file), 0o644)  # the package lets only the owner read
        where.update(dict.fromkeys(tensors, file))
        total += sum(t.nbytes for t in tensors.values())
    write_json(os.path.join(out, "model.safetensors.index.json"),
               {"metadata": {"total_size": total}, "weight_map": where})
    write_json(os.path.join(out, "config.json"), c)
    write_json(os.path.join(out, "generation_config.json"),
               {"_from_model_config": True, "bos_token_id": c["bos_token_id"],
                "eos_token_id": c["eos_token_id"], "do_sample": True, "temperature": 1.0,
                "top_p": 1.0})


def value(name, files):
    w = files[name]
    scale = files.get(re.sub("weight$", "scale", name))
    if w.dtype == torch.int8:
        b = w.view(torch.uint8).long()
        code = torch.stack([b & 15, b >> 4], -1).flatten(-2).unflatten(-1, (-1, GROUP))
        return fp4_values(code, scale.float().unsqueeze(-1)).flatten(-2)
    if w.dtype == torch.float8_e4m3fn:
        return w.float() * scale.float().repeat_interleave(TILE, 0).repeat_interleave(TILE, 1)
    return w if w.dtype == torch.int64 else w.float()


def read(folder, names):
    """The parameters of those names, as floats, from a checkpoint."""
    files = {}
    for file in sorted(os.listdir(folder)):
        if file.endswith(".safetensors"):
            files.update(load_file(os.path.join(folder, file)))

    def one(name):
        if name in files:
            return value(name, files)
        single = [name.replace("experts.", f"experts.{e}.") for e in range(1000)]
        return torch.stack([value(n, files) for n in single if n in files])
    return {name: one(name) for name in names}
