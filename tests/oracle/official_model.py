"""The official inference/model.py on the CPU, as a function from tokens to everything.

Nothing of it is copied: OFFICIAL names a folder that holds model.py. It is loaded once for
each kind of arithmetic, with the kernels of forward_kernels.py in the place of GPU code,
and observed from outside:

    f64             float64, weights decoded exactly, no rounding of activations
    native          the tensors and the rounding of the release; sums exact, then rounded
    f32             as f64, in float32: what a float runtime can reach
    native-f32      as native, sums in torch's own order: what a native runtime can reach
    native-one-max  as native, but one maximum for all candidates of an attention, not a running one
    f64-angles      as f64, and the angles of the rotary embedding too

But for the last, one thing stays F32 everywhere: the angle, position times frequency, is an F32
product in the definition of the model, and so are the cosine and the sine of it.
"""

import contextlib
import functools
import importlib.util
import json
import os
import sys
import types

import torch

import common
import forward_kernels

SHARED = ("mtp.0.embed.weight", "mtp.0.head.weight")  # the main model's
ABSENT = 1 << 20  # past every block
PLAIN = {"f64": torch.float64, "f64-angles": torch.float64, "f32": torch.float32}


class Stand:
    """A module with some names replaced."""

    def __init__(self, module, **names):
        self.__dict__.update(names, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)


def load(folder, mode):
    """model.py as a module of its own."""
    path = os.path.join(folder, "model.py")
    kernel = forward_kernels.exact() if mode in PLAIN else forward_kernels.native()
    sys.modules["kernel"] = sys.modules["fast_hadamard_transform"] = kernel
    spec = importlib.util.spec_from_file_location("official_" + mode.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if mode in PLAIN:
        module.torch = Stand(torch, float32=PLAIN[mode], bfloat16=PLAIN[mode])
        if mode != "f64-angles":  # its own globals, without the stand
            rotary = module.precompute_freqs_cis.__wrapped__
            names = {**module.__dict__, "torch": torch}
            module.precompute_freqs_cis = types.FunctionType(rotary.__code__, names)
    else:
        module.torch = Stand(torch, rsqrt=forward_kernels.rsqrt)
    if mode == "native-one-max":
        module.sparse_attn = functools.partial(kernel.sparse_attn, block=1 << 30)
    if mode != "native-f32" and mode not in PLAIN:
        module.F = Stand(torch.nn.functional, linear=forward_kernels.linear)
        module.torch.__dict__["einsum"] = forward_kernels.einsum
    return module


def arguments(module, config, mode, most_tokens):
    scaling = config["rope_scaling"]
    return module.ModelArgs(
        max_batch_size=1,
        max_seq_len=most_tokens,
        dtype="bf16" if mode in PLAIN else "fp8",
        scale_fmt="ue8m0",
        expert_dtype=None if mode in PLAIN else config["expert_dtype"],
        scale_dtype="fp8",
        vocab_size=config["vocab_size"],
        dim=config["hidden_size"],
        moe_inter_dim=config["moe_intermediate_size"],
        n_layers=config["num_hidden_layers"],
        n_hash_layers=config["num_hash_layers"],
        n_mtp_layers=config["num_nextn_predict_layers"],
        n_heads=config["num_attention_heads"],
        n_routed_experts=config["n_routed_experts"],
        n_activated_experts=config["num_experts_per_tok"],
        score_func=config["scoring_func"],
        route_scale=config["routed_scaling_factor"],
        swiglu_limit=config["swiglu_limit"],
        q_lora_rank=config["q_lora_rank"],
        head_dim=config["head_dim"],
        rope_head_dim=config["qk_rope_head_dim"],
        norm_eps=config["rms_norm_eps"],
        o_groups=config["o_groups"],
        o_lora_rank=config["o_lora_rank"],
        window_size=config["sliding_window"],
        compress_ratios=tuple(config["compress_ratios"]),
        compress_rope_theta=config["compress_rope_theta"],
        original_seq_len=scaling["original_max_position_embeddings"],
        rope_theta=config["rope_theta"],
        rope_factor=scaling["factor"],
        beta_fast=scaling["beta_fast"],
        beta_slow=scaling["beta_slow"],
        index_n_heads=config["index_n_heads"],
        index_head_dim=config["index_head_dim"],
        index_topk=config["index_topk"],
        hc_mult=config["hc_mult"],
        hc_sinkhorn_iters=config["hc_sinkhorn_iters"],
        hc_eps=config["hc_eps"],
    )


def stored(ckpt, name, like):
    """The checkpoint's tensor `name` as the official parameter `like` wants it."""
    tensor = ckpt.tensors[name]
    if like.dtype.itemsize == 1:  # FP8, FP4 and their scales: the bytes
        return torch.from_numpy(tensor.raw().copy()).view(like.dtype).view(tensor.shape)
    values = torch.from_numpy(ckpt.values(name).copy())
    return values if values.dtype == torch.int64 else values.to(like.dtype)


def fill(model, ckpt):
    """Give every parameter its tensor; a tensor that nobody wants is an error."""
    used = set()
    for path, module in model.named_modules():
        for key, old in list(module._parameters.items()):
            name = path + "." + key if path else key
            if old is None or name in SHARED:
                continue
            new = torch.nn.Parameter(stored(ckpt, name, old), requires_grad=False)
            if new.shape != old.shape:
                raise ValueError("%s: %s, wanted %s" % (name, new.shape, old.shape))
            module._parameters[key] = new
            used.add(name)
        if module._parameters.get("scale") is not None:
            module.weight.scale = module.scale
    left = [n for n in ckpt.parameters() if n not in used]
    if left:
        raise ValueError("tensors without a use: %s" % left[:3])


class Model:
    def __init__(self, official, path, mode, most_tokens=1280):
        self.mode, self.ckpt = mode, common.Checkpoint(path)
        self.config = json.loads(self.ckpt.text("config.json"))
        self.dtype = PLAIN.get(mode, torch.bfloat16)
        module = load(official, mode)
        with self.arithmetic():
            self.net = module.Transformer(arguments(module, self.config, mode, most_tokens))
            fill(self.net, self.ckpt)
        self.net.head.get_logits = lambda x: module.F.linear(x.float(), self.net.head.weight)
        self.layers = list(self.net.layers) + list(self.net.mtp)
        self.watch()

    @contextlib.contextmanager
    def arithmetic(self):
        """What the official code finds in torch while it runs."""
        kept, to_float, topk = torch.get_default_dtype(), torch.Tensor.float, torch.Tensor.topk
        torch.set_default_dtype(self.dtype)
        torch.Tensor.topk = lambda scores, k, dim=-1: self.choose(scores, k, dim)
        if self.dtype == torch.float64:
            torch.Tensor.float = torch.Tensor.double
        try:
            yield
        finally:
            torch.set_default_dtype(kept)
            torch.Tensor.float, torch.Tensor.topk = to_float, topk

    def choose(self, scores, k, dim):
        """topk(): of equal scores the one with the lower number."""
        self.scores = scores.clone()
        ordered = scores.sort(dim=dim, descending=True, stable=True)
        return tuple(x.narrow(dim, 0, k) for x in ordered)

    def watch(self):
        for i, block in enumerate(self.layers):
            block.register_forward_hook(lambda _m, _x, y, i=i: self.see_block(i, y))
            block.ffn.gate.register_forward_hook(lambda m, _x, y, i=i: self.see_gate(i, m, y))
            indexer = getattr(block.attn, "indexer", None)
            if indexer is not None:
                indexer.register_forward_hook(lambda m, x, y, i=i: self.see_indexer(i, m, x, y))

    def see_block(self, i, streams):
        if i < len(self.net.layers):
            self.seen["hidden"][i] = streams[0].clone()

    def see_gate(self, i, gate, result):
        experts = result[1]
        self.seen["experts"][i] = experts.sort(dim=-1)[0]
        if not gate.hash:
            ordered = self.scores.sort(dim=-1, descending=True)[0].double()
            self.seen["gate_margin"][i] = ordered[:, gate.topk - 1] - ordered[:, gate.topk]

    def see_indexer(self, i, indexer, given, result):
        """Block numbers, ascending, then -1 where fewer are visible; and how far the last chosen
        is from the first that was not, as a part of the largest score."""
        start, offset = given[2], given[3]
        blocks = result[0] - torch.where(result[0] >= 0, offset, 0)
        scores = self.scores[0].double()
        rows = torch.arange(scores.size(0)) + start
        hidden = torch.arange(scores.size(1)) >= (rows[:, None] + 1) // indexer.compress_ratio
        scores = scores.masked_fill(hidden, float("-inf"))
        k = indexer.index_topk
        margin = torch.full((scores.size(0),), float("inf"), dtype=torch.float64)
        if scores.size(1) > k:
            ordered = scores.sort(dim=-1, descending=True)[0]
            size = scores.masked_fill(hidden, 0).abs().amax(-1)
            margin = (ordered[:, k - 1] - ordered[:, k]) / size
            margin = torch.where(torch.isfinite(margin), margin, float("inf"))
        blocks = torch.where(blocks < 0, ABSENT, blocks).sort(dim=-1)[0]
        blocks = torch.where(blocks == ABSENT, -1, blocks)
        self.seen["blocks"][i] = torch.nn.functional.pad(blocks, (0, k - blocks.size(1)), value=-1)
        self.seen["block_margin"][i] = margin

    def reset(self):
        """Forget every token: prefill does not clear what an earlier prompt left."""
        for name, buffer in self.net.named_buffers():
            if name.endswith("score_state"):
                buffer.fill_(float("-inf"))
            elif not name.endswith("freqs_cis"):
                buffer.zero_()

    def call(self, function, *inputs):
        names = ("hidden", "experts", "gate_margin", "blocks", "block_margin")
        self.seen = {name: {} for name in names}
        with self.arithmetic(), torch.inference_mode():
            return function(*inputs)[0].clone()

    def forward(self, tokens, start=0):
        """Logits [n, V] after each of the tokens; self.seen has what happened on the way."""
        return self.call(self.net.forward, torch.tensor([list(tokens)]), start)

    def draft(self, streams, tokens, start=0):
        """Logits [n, V] of the MTP block for streams [n, hc, D] and tokens."""
        tokens = torch.tensor([list(tokens)])
        return self.call(self.net.mtp[0].forward, streams[None], start, tokens)
