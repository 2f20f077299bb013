"""check_loads.py RECAST NATIVE - a loader that we did not write loads what recast packed.

No released transformers runs V4's experts from 4-bit integers, so a Llama is built around them: an
expert of NATIVE has the shapes of a Llama's MLP (gate w1, up w3, down w2). Its tensors go into a
checkpoint byte by byte as `recast convert --to w4a16` wrote them, with the group of the
quantization_config that recast wrote; transformers loads it by way of compressed-tensors. Every
weight must be the one that check_int4's formulas give, in BF16, and the MLP must say what a plain
product says.

Status 77: torch, transformers or compressed-tensors is not there.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

import check_int4
import common

MATRICES = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
EXPERTS = 3  # as many layers


def llama(config, group):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config["hidden_size"],
        "intermediate_size": config["moe_intermediate_size"],
        "num_hidden_layers": EXPERTS,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 64,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": group | {"targets": ["re:.*mlp\\..*_proj$"]}},
            "ignore": ["lm_head", "re:.*self_attn.*"],
        },
    }


def plain_tensors(config, rng):
    """What is not an expert, in BF16."""
    d = config["hidden_size"]
    shapes = {"model.embed_tokens.weight": [64, d], "lm_head.weight": [64, d]}
    shapes["model.norm.weight"] = [d]
    for i in range(EXPERTS):
        layer = f"model.layers.{i}."
        for name in "qkvo":
            shapes[f"{layer}self_attn.{name}_proj.weight"] = [d, d]
        shapes[layer + "input_layernorm.weight"] = [d]
        shapes[layer + "post_attention_layernorm.weight"] = [d]
    out = {}
    for name, shape in shapes.items():
        x = (rng.standard_normal(shape) * 0.05).astype(np.float32)
        out[name] = ("BF16", shape, (x.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    return out


def build(converted, folder):
    """-> name of a module -> its weight in float32"""
    tensors, config = check_int4.load(converted), check_int4.read_config(converted)
    group = config["quantization_config"]["config_groups"]["group_0"]
    out, want = plain_tensors(config, np.random.default_rng(7)), {}
    for i in range(EXPERTS):
        for name, which in MATRICES.items():
            base = f"layers.1.ffn.experts.{i}.{which}"
            module = f"model.layers.{i}.mlp.{name}"
            want[module] = check_int4.values(tensors, base)
            for part in [t for t in tensors if t.startswith(base + ".")]:
                out[module + part[len(base) :]] = tensors[part]
    check_int4.save(out, llama(config, group), folder)
    return want


def stamp(folder):
    """transformers wants to know who wrote the file."""
    path = os.path.join(folder, "model.safetensors")
    with open(path, "rb") as f:
        data = f.read()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n]) | {"__metadata__": {"format": "pt"}}
    head = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head + data[8 + n :])


def compare(folder, want):
    import torch
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.bfloat16,
        quantization_config=CompressedTensorsConfig(run_compressed=False),
    )
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((5, 256)).astype(np.float32))
    for name, w in want.items():
        got = model.get_submodule(name).weight.detach().float().numpy()
        bf16 = torch.from_numpy(w).to(torch.bfloat16).float().numpy()
        if not np.array_equal(got, bf16):
            sys.exit(f"{name}: transformers has other values ({np.abs(got - bf16).max()})")
    for i in range(EXPERTS):
        gate, up, down = (torch.from_numpy(want[f"model.layers.{i}.mlp.{m}"]) for m in MATRICES)
        says = (torch.nn.functional.silu(x @ gate.T) * (x @ up.T)) @ down.T
        got = model.model.layers[i].mlp(x.to(torch.bfloat16)).detach().float()
        off = float((got - says).norm() / says.norm())
        if off > 0.02:
            sys.exit(f"layer {i}: the MLP is off by {off:.3f}")


def main(recast, native):
    try:
        import compressed_tensors  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        return 77
    with tempfile.TemporaryDirectory() as tmp:
        for options in (["--group", "32"], ["--group", "128"], ["--group", "64", "--asymmetric"]):
            converted, folder = os.path.join(tmp, "w4a16"), os.path.join(tmp, "llama")
            subprocess.run(
                [recast, "convert", native, converted, "--to", "w4a16", "--quiet", "--force"]
                + options,
                check=True,
            )
            want = build(converted, folder)
            stamp(folder)
            compare(folder, want)
            print(f"check_loads: {' '.join(options)}: {len(want)} matrices, equal in transformers")
    return 0


if __name__ == "__main__":
    common.run(main, "RECAST", "NATIVE")
