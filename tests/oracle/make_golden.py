"""make_golden.py MODEL.PY KIND OUT - what the release's own code makes of a small model.

MODEL.PY is inference/model.py of a release: of April 2026 for KIND mtp, of 2026-07-31 for dspark.
It runs in float64: every float32, bfloat16 and .float() in its text becomes float64, and its
kernels, which need a GPU, are those below, which quantize nothing. The weights are random, but
stored as the release stores its own; the model is given what the stored bytes stand for.

OUT/model becomes the checkpoint, OUT/expected.safetensors what the code said of it
(tests/data/golden/README.md). The same bytes every time, with the same version of torch's generator.
"""

import json
import math
import os
import sys
import types

import torch
from safetensors.torch import save_file

SEED = 20261122
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)

COMMON = {
    "architectures": ["DeepseekV4ForCausalLM"],
    "model_type": "deepseek_v4",
    "bos_token_id": 0,
    "eos_token_id": 1,
    "expert_dtype": "fp4",
    "hc_eps": 1e-6,
    "hc_sinkhorn_iters": 20,
    "hidden_act": "silu",
    "index_head_dim": 128,
    "index_n_heads": 16,
    "index_topk": 8,
    "max_position_embeddings": 4096,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_key_value_heads": 1,
    "num_nextn_predict_layers": 1,
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "scale_fmt": "ue8m0",
        "weight_block_size": [128, 128],
    },
    "rms_norm_eps": 1e-6,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 16,
        "original_max_position_embeddings": 65536,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "compress_rope_theta": 160000,
    "routed_scaling_factor": 1.5,
    "scoring_func": "sqrtsoftplus",
    "swiglu_limit": 2.0,  # low enough to be met
    "tie_word_embeddings": False,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
}
CONFIGS = {
    # Every kind of layer: window only and routed by token, CSA, HCA; an MTP block.
    "mtp": {
        "hidden_size": 128, "vocab_size": 256, "num_hidden_layers": 3, "num_hash_layers": 1,
        "num_attention_heads": 4, "head_dim": 128, "qk_rope_head_dim": 64, "q_lora_rank": 128,
        "o_groups": 2, "o_lora_rank": 64, "moe_intermediate_size": 256, "n_routed_experts": 6,
        "num_experts_per_tok": 2, "hc_mult": 4, "sliding_window": 128,
        "compress_ratios": [0, 4, 128, 0],
    },
    # Small in every way, a window that is soon full, ragged FP8 tiles.
    "dspark": {
        "hidden_size": 96, "vocab_size": 80, "num_hidden_layers": 3, "num_hash_layers": 1,
        "num_attention_heads": 2, "head_dim": 64, "qk_rope_head_dim": 32, "q_lora_rank": 48,
        "o_groups": 2, "o_lora_rank": 32, "moe_intermediate_size": 64, "n_routed_experts": 5,
        "num_experts_per_tok": 2, "hc_mult": 2, "sliding_window": 16,
        "compress_ratios": [0, 0, 0, 0, 0, 0],
        "dspark_block_size": 5, "dspark_noise_token_id": 79,
        "dspark_target_layer_ids": [0, 2], "dspark_markov_rank": 16,
    },
}  # fmt: skip


# ------------------------------------------------------------- kernels that round nothing


def act_quant(x, block_size=128, scale_fmt=None, scale_dtype=None, inplace=False):
    return x


def fp4_act_quant(x, block_size=32, inplace=False):
    return x


def never(*args):
    raise AssertionError("a quantized product in float64")


def sparse_attn(q, kv, sink, index, scale):
    """q [b, s, h, d], kv [b, n, d], index [b, s, k] with -1 for nothing -> [b, s, h, d]"""
    index = index.long()
    seen = torch.stack([kv[b][index[b].clamp(min=0)] for b in range(kv.size(0))])
    score = torch.einsum("bshd,bskd->bshk", q, seen) * scale
    score = score.masked_fill((index < 0).unsqueeze(2), -math.inf)
    score = torch.cat([score, sink.view(1, 1, -1, 1).expand(*score.shape[:3], 1)], dim=-1)
    return torch.einsum("bshk,bskd->bshd", score.softmax(-1)[..., :-1], seen)


def hc_split_sinkhorn(mixes, scale, base, n, iterations, eps):
    pre = torch.sigmoid(mixes[..., :n] * scale[0] + base[:n]) + eps
    post = 2 * torch.sigmoid(mixes[..., n : 2 * n] * scale[1] + base[n : 2 * n])
    comb = (mixes[..., 2 * n :] * scale[2] + base[2 * n :]).unflatten(-1, (n, n))
    comb = comb.softmax(-1) + eps
    comb = comb / (comb.sum(-2, keepdim=True) + eps)
    for _ in range(iterations - 1):
        comb = comb / (comb.sum(-1, keepdim=True) + eps)
        comb = comb / (comb.sum(-2, keepdim=True) + eps)
    return pre, post, comb


def hadamard_transform(x, scale=1.0):
    n = x.size(-1)
    sign = torch.tensor([[(-1.0) ** bin(i & j).count("1") for j in range(n)] for i in range(n)])
    return x @ sign.to(x.dtype) * scale


def official(path):
    """The release's file as a module, in float64."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for wide in ("torch.float32", "torch.bfloat16"):
        text = text.replace(wide, "torch.float64")
    text = text.replace(".float()", ".double()")
    kernel = types.ModuleType("kernel")
    for f in (act_quant, fp4_act_quant, sparse_attn, hc_split_sinkhorn, hadamard_transform):
        setattr(kernel, f.__name__, f)
    kernel.fp8_gemm = kernel.fp4_gemm = never
    fast = types.ModuleType("fast_hadamard_transform")
    fast.hadamard_transform = hadamard_transform
    sys.modules.update(kernel=kernel, fast_hadamard_transform=fast)
    module = types.ModuleType("official")
    sys.modules["official"] = module
    exec(compile(text, path, "exec"), module.__dict__)
    return module


def arguments(module, config):
    names = {
        "hidden_size": "dim", "num_hidden_layers": "n_layers", "num_hash_layers": "n_hash_layers",
        "num_attention_heads": "n_heads", "qk_rope_head_dim": "rope_head_dim",
        "moe_intermediate_size": "moe_inter_dim", "num_experts_per_tok": "n_activated_experts",
        "routed_scaling_factor": "route_scale", "scoring_func": "score_func",
        "sliding_window": "window_size", "rms_norm_eps": "norm_eps",
    }  # fmt: skip
    rope = config["rope_scaling"]
    known = {names.get(k, k): v for k, v in config.items()}
    known.update(
        max_batch_size=1, max_seq_len=512, dtype="bf16", scale_fmt=None, expert_dtype=None,
        scale_dtype="fp32", temperature=0, rope_factor=rope["factor"],
        original_seq_len=rope["original_max_position_embeddings"], beta_fast=rope["beta_fast"],
        beta_slow=rope["beta_slow"],
        n_mtp_layers=len(config["compress_ratios"]) - config["num_hidden_layers"],
    )  # fmt: skip
    fields = module.ModelArgs.__dataclass_fields__
    return module.ModelArgs(**{k: v for k, v in known.items() if k in fields})


# ---------------------------------------------------------------------- stored weights


def power_of_two(x):
    return torch.exp2(torch.ceil(torch.log2(x)))


def e8m0(scale):
    return (torch.log2(scale) + 127).to(torch.uint8).view(torch.float8_e8m0fnu)


def store_fp8(w):
    """[o, i] -> stored E4M3, stored scales, values"""
    o, i = w.shape
    tiles = torch.zeros(-(-o // 128) * 128, -(-i // 128) * 128, dtype=w.dtype)
    tiles[:o, :i] = w
    tiles = tiles.unflatten(1, (-1, 128)).unflatten(0, (-1, 128)).transpose(1, 2)
    scale = power_of_two(tiles.abs().amax((-1, -2)) / 448)
    spread = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[:o, :i]
    code = (w / spread).float().to(torch.float8_e4m3fn)
    return code, e8m0(scale), code.to(w.dtype) * spread


def store_fp4(w):
    groups = w.unflatten(1, (-1, 32))
    scale = power_of_two(groups.abs().amax(-1) / 6)
    spread = scale.repeat_interleave(32, 1)
    nearest = ((w / spread).abs().unsqueeze(-1) - E2M1).abs().argmin(-1)
    value = torch.where(w < 0, -E2M1[nearest], E2M1[nearest]) * spread
    nibble = (nearest + 8 * (w < 0)).to(torch.uint8)
    packed = nibble[:, 0::2] | nibble[:, 1::2] << 4
    return packed.view(torch.int8), e8m0(scale), value


def is_fp8(name):
    leaf = name.split(".")[-2]
    if "compressor" in name or "markov" in name:
        return False
    return leaf in ("wq_a", "wq_b", "wkv", "wo_a", "wo_b", "w1", "w2", "w3", "e_proj", "h_proj",
                    "main_proj")  # fmt: skip


def is_f32(name):
    leaf = name.split(".")[-1]
    return leaf in ("attn_sink", "ape", "bias") or leaf.startswith("hc_")


def random_values(name, shape, experts):
    if name.endswith("tid2eid"):
        return torch.stack([torch.randperm(experts)[: shape[1]] for _ in range(shape[0])])
    x = torch.randn(shape, dtype=torch.float64)
    if name.endswith("norm.weight"):
        return 1 + 0.2 * x
    if name.endswith(("_base", "ape", "attn_sink")):
        return x
    if name.endswith("_scale"):
        return 1 + 0.3 * x
    if name.endswith("gate.bias"):
        return 0.3 * x
    return x * shape[-1] ** -0.5 * (4 if "weights_proj" in name or "gate" in name else 1.5)


def fill(model, config):
    """Random parameters: the model gets their values, the result is what is stored."""
    torch.manual_seed(SEED)  # whatever the model took to be built
    stored = {}
    for name, p in model.named_parameters():
        w = random_values(name, tuple(p.shape), config["n_routed_experts"])
        if ".experts." in name:
            stored[name], stored[name[:-6] + "scale"], w = store_fp4(w)
        elif name.endswith(".weight") and is_fp8(name):
            stored[name], stored[name[:-6] + "scale"], w = store_fp8(w)
        elif name.endswith("tid2eid"):
            stored[name] = w
        else:
            stored[name] = w.to(torch.float if is_f32(name) else torch.bfloat16)
            w = stored[name].double()
        p.data = w.to(p.dtype)
    return stored


# ------------------------------------------------------------------------- what is said


def watch(model):
    """Streams after each layer, of the last call."""
    seen = {}
    for i, layer in enumerate(model.layers):
        layer.register_forward_hook(lambda m, a, out, i=i: seen.__setitem__(i, out))
    return seen


def logits_of(out):
    return out[1] if isinstance(out, tuple) else out


def say_mtp(model, config):
    """Token by token; and the whole prompt at once, which must say the same."""
    n = 300
    tokens = torch.randint(0, config["vocab_size"], (n,))
    seen = watch(model)
    positions = torch.tensor([0, 3, 4, 127, 131, n - 1])
    logits, hidden = [], {i: [] for i in range(config["num_hidden_layers"])}
    for t in range(n):
        logits.append(logits_of(model(tokens[None, t : t + 1], t))[0])
        for i in hidden:
            if t in positions:
                hidden[i].append(seen[i][0, 0])
    logits = torch.stack(logits)
    whole = logits_of(model(tokens[None], 0))[0]
    assert torch.allclose(whole, logits[-1], rtol=0, atol=1e-11), (whole - logits[-1]).abs().max()
    last = seen[config["num_hidden_layers"] - 1]
    said = {"tokens": tokens, "logits": logits, "hidden_positions": positions}
    said.update({"hidden.%d" % i: torch.stack(hidden[i]) for i in hidden})
    said["mtp_logits_last"] = model.mtp[0](last, 0, tokens[None])[0]
    return said


def say_dspark(model, config):
    """A prompt of 6 at once, then token by token with a proposal after each."""
    first, n = 6, 48
    tokens = torch.randint(0, config["vocab_size"], (n + 1,))
    _, _, main = model(tokens[None, :first], 0)
    model.forward_spec(tokens[first : first + 1], main, 0)
    drafts, logits, confidence = [], [], []
    for t in range(first, n):
        _, _, main = model(tokens[None, t : t + 1], t)
        ids, scores, sure = model.forward_spec(tokens[t + 1 : t + 2], main, t)
        drafts.append(ids[0, 1:])
        logits.append(scores[0])
        confidence.append(sure[0])
    return {
        "tokens": tokens,
        "prompt": torch.tensor([first]),
        "drafts": torch.stack(drafts),
        "logits": torch.stack(logits),
        "confidence": torch.stack(confidence),
    }


def write(out, stored, said, config):
    folder = os.path.join(out, "model")
    os.makedirs(folder, exist_ok=True)
    name = "model-00001-of-00001.safetensors"
    save_file({k: v.contiguous() for k, v in stored.items()}, os.path.join(folder, name))
    size = sum(v.numel() * v.element_size() for v in stored.values())
    index = {"metadata": {"total_size": size}, "weight_map": {k: name for k in sorted(stored)}}
    for file, what in (("model.safetensors.index.json", index), ("config.json", config)):
        with open(os.path.join(folder, file), "w", encoding="utf-8") as f:
            f.write(json.dumps(what, indent=1) + "\n")
    narrow = {k: v.float() if v.is_floating_point() else v for k, v in said.items()}
    save_file({k: v.contiguous() for k, v in narrow.items()}, os.path.join(out, "expected.safetensors"))


def main(path, kind, out):
    torch.set_default_dtype(torch.float64)
    config = {**COMMON, **CONFIGS[kind]}
    module = official(path)
    model = module.Transformer(arguments(module, config))
    stored = fill(model, config)
    with torch.inference_mode():
        said = say_mtp(model, config) if kind == "mtp" else say_dspark(model, config)
    write(out, stored, said, config)
    print("%s: %d tensors" % (out, len(stored)), {k: list(v.shape) for k, v in said.items()})


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[2] not in CONFIGS:
        sys.exit("usage: %s MODEL.PY mtp|dspark OUT" % sys.argv[0])
    main(*sys.argv[1:])
