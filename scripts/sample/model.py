"""DeepSeek-V4 in PyTorch, for training: all positions of a sequence at once.

Written from the published description of the forward pass; weights go by their names in the
checkpoint, but for the routed experts of a layer, which are one tensor a matrix. The official
code walks the tokens of a prompt through caches; here a mask says which of them a position
sees. In float64 both give the same numbers (see README.md).
"""
import math

import torch
import torch.nn.functional as F

CONFIG = {
    "architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4",
    "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 0, "eos_token_id": 1, "expert_dtype": "fp4",
    "hc_eps": 1e-06, "hc_mult": 4, "hc_sinkhorn_iters": 20,
    "head_dim": 128, "hidden_act": "silu", "hidden_size": 256,
    "index_head_dim": 128, "index_n_heads": 16, "index_topk": 16, "initializer_range": 0.02,
    "max_position_embeddings": 4096, "moe_intermediate_size": 128,
    "n_routed_experts": 8, "n_shared_experts": 1, "norm_topk_prob": True,
    "num_attention_heads": 4, "num_experts_per_tok": 2, "num_hidden_layers": 3,
    "num_hash_layers": 1, "num_key_value_heads": 1, "num_nextn_predict_layers": 1,
    "o_groups": 2, "o_lora_rank": 128, "q_lora_rank": 128, "qk_rope_head_dim": 64,
    "quantization_config": {
        "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
        "scale_fmt": "ue8m0", "weight_block_size": [128, 128]},
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 16,
                     "original_max_position_embeddings": 65536, "type": "yarn"},
    "rope_theta": 10000, "routed_scaling_factor": 1.5, "scoring_func": "sqrtsoftplus",
    "sliding_window": 128, "swiglu_limit": 10.0, "tie_word_embeddings": False,
    "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "use_cache": True,
    "vocab_size": 1536, "compress_rope_theta": 160000, "compress_ratios": [0, 4, 128, 0],
}
FAR = -1e9  # a score that no softmax gives weight to


# ------------------------------------------------------------------ parameters

def init_compressor(c, p, at, ratio, width):
    both = width * (2 if ratio == 4 else 1)
    p[at + "wkv.weight"] = ("matrix", both, c["hidden_size"])
    p[at + "wgate.weight"] = ("matrix", both, c["hidden_size"])
    p[at + "ape"] = ("zero", ratio, both)
    p[at + "norm.weight"] = ("one", width)


def init_block(c, p, at, ratio, hashed):
    d, q, inter, n = (c["hidden_size"], c["q_lora_rank"], c["moe_intermediate_size"],
                      c["hc_mult"])
    wide, experts = c["num_attention_heads"] * c["head_dim"], c["n_routed_experts"]
    p[at + "attn_norm.weight"] = p[at + "ffn_norm.weight"] = ("one", d)
    for sub in "attn", "ffn":
        p[f"{at}hc_{sub}_fn"] = ("small", (2 + n) * n, n * d)
        p[f"{at}hc_{sub}_base"] = ("hc_base", (2 + n) * n)
        p[f"{at}hc_{sub}_scale"] = ("tenth", 3)
    p[at + "attn.attn_sink"] = ("zero", c["num_attention_heads"])
    p[at + "attn.wq_a.weight"] = ("matrix", q, d)
    p[at + "attn.q_norm.weight"] = ("one", q)
    p[at + "attn.wq_b.weight"] = ("matrix", wide, q)
    p[at + "attn.wkv.weight"] = ("matrix", c["head_dim"], d)
    p[at + "attn.kv_norm.weight"] = ("one", c["head_dim"])
    p[at + "attn.wo_a.weight"] = ("matrix", c["o_groups"] * c["o_lora_rank"],
                                  wide // c["o_groups"])
    p[at + "attn.wo_b.weight"] = ("matrix", d, c["o_groups"] * c["o_lora_rank"])
    if ratio:
        init_compressor(c, p, at + "attn.compressor.", ratio, c["head_dim"])
    if ratio == 4:
        p[at + "attn.indexer.wq_b.weight"] = ("matrix", c["index_n_heads"] * c["index_head_dim"],
                                              q)
        p[at + "attn.indexer.weights_proj.weight"] = ("small", c["index_n_heads"], d)
        init_compressor(c, p, at + "attn.indexer.compressor.", 4, c["index_head_dim"])
    p[at + "ffn.gate.weight"] = ("small", experts, d)
    if hashed:
        p[at + "ffn.gate.tid2eid"] = ("table", c["vocab_size"], c["num_experts_per_tok"])
    else:
        p[at + "ffn.gate.bias"] = ("bias", experts)
    for kind, shape in ("experts", (experts,)), ("shared_experts", ()):
        for w in "w1", "w3":
            p[f"{at}ffn.{kind}.{w}.weight"] = ("matrix", *shape, inter, d)
        p[f"{at}ffn.{kind}.w2.weight"] = ("matrix", *shape, d, inter)


def init_head(c, p, at):
    p[at + "norm.weight"] = ("one", c["hidden_size"])
    p[at + "hc_head_fn"] = ("small", c["hc_mult"], c["hc_mult"] * c["hidden_size"])
    p[at + "hc_head_base"] = ("zero", c["hc_mult"])
    p[at + "hc_head_scale"] = ("tenth", 1)


def layout(c):
    """{name: (kind, *shape)} of all that is stored."""
    p, layers = {}, c["num_hidden_layers"]
    p["embed.weight"] = ("tenth_normal", c["vocab_size"], c["hidden_size"])
    for i in range(layers):
        init_block(c, p, f"layers.{i}.", c["compress_ratios"][i], i < c["num_hash_layers"])
    init_head(c, p, "")
    p["head.weight"] = ("small", c["vocab_size"], c["hidden_size"])
    init_block(c, p, "mtp.0.", 0, False)
    init_head(c, p, "mtp.0.")
    for name in "e_proj", "h_proj":
        p[f"mtp.0.{name}.weight"] = ("matrix", c["hidden_size"], c["hidden_size"])
    for name in "enorm", "hnorm":
        p[f"mtp.0.{name}.weight"] = ("one", c["hidden_size"])
    return p


def hc_base(n, nth):
    """Sublayer `nth` reads mostly one of the streams; all keep what they hold, nearly."""
    pre = torch.full((n,), -1.0)
    pre[nth % n] = 1.0
    return torch.cat([pre, torch.zeros(n), (4 * torch.eye(n) - 2).flatten()])


def balanced_table(vocab, k, experts):
    """Each expert is the first choice of as many tokens as any other, and the second."""
    order = torch.randperm(vocab)
    steps = torch.stack([torch.randperm(experts - 1)[:k - 1] + 1 for _ in range(vocab)])
    first = torch.empty(vocab, dtype=torch.int64)
    first[order] = torch.arange(vocab) % experts
    return torch.cat([first[:, None], (first[:, None] + steps) % experts], 1)


def init(c, seed):
    torch.manual_seed(seed)
    p, sublayer = {}, 0
    for name, (kind, *shape) in layout(c).items():
        if kind == "matrix":
            t = torch.randn(shape) * shape[-1] ** -0.5
        elif kind == "hc_base":
            t = hc_base(c["hc_mult"], sublayer)
            sublayer += 1
        elif kind == "table":
            t = balanced_table(*shape, c["n_routed_experts"])
        else:
            t = {"one": torch.ones, "zero": torch.zeros, "bias": torch.zeros,
                 "tenth": lambda *s: torch.full(s, 0.1), "small": lambda *s: torch.randn(s) * 0.02,
                 "tenth_normal": lambda *s: torch.randn(s) * 0.1}[kind](*shape)
        p[name] = t.requires_grad_(kind not in ("table", "bias"))
    return p


# ----------------------------------------------------------------------- parts

def rope_table(c, ratio, n, dtype):
    """exp(i * position * frequency) for n positions; YaRN where a layer compresses."""
    dim = c["qk_rope_head_dim"]
    base = c["compress_rope_theta" if ratio else "rope_theta"]
    w = base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if ratio:
        s = c["rope_scaling"]

        def turns(beta):
            return (dim * math.log(s["original_max_position_embeddings"] / (beta * 2 * math.pi))
                    / (2 * math.log(base)))

        low, high = math.floor(turns(s["beta_fast"])), math.ceil(turns(s["beta_slow"]))
        ramp = ((torch.arange(dim // 2) - low) / (high - low)).clamp(0, 1)
        w = w / s["factor"] * ramp + w * (1 - ramp)
    angle = torch.outer(torch.arange(n, dtype=torch.float64), w)
    return torch.polar(torch.ones_like(angle), angle).to(
        torch.complex128 if dtype == torch.float64 else torch.complex64)


def rope(x, turn):
    """Turn the last dimensions of x; `turn` has its positions."""
    r = x[..., -2 * turn.shape[-1]:]
    r = r.to(turn.real.dtype).unflatten(-1, (-1, 2)).contiguous()
    r = torch.view_as_real(torch.view_as_complex(r) * turn).flatten(-2)
    return torch.cat([x[..., :-2 * turn.shape[-1]], r.to(x.dtype)], -1)


def sinkhorn(m, iters, eps):
    """[.., n, n]; positions go last in between, where many short sums are fast."""
    x = m.flatten(0, -3).permute(1, 2, 0).contiguous()
    x = x.softmax(1) + eps
    x = x / (x.sum(0, True) + eps)
    for _ in range(iters - 1):
        x = x / (x.sum(1, True) + eps)
        x = x / (x.sum(0, True) + eps)
    return x.permute(2, 0, 1).reshape(m.shape)


class Mixes(torch.autograd.Function):
    """fn . f / rms(f). Written out, as is Mix: streams are wide, and passes over them cost."""

    @staticmethod
    def forward(ctx, f, fn, eps):
        m = F.linear(f, fn)
        r = torch.rsqrt((f.unsqueeze(1) @ f.unsqueeze(2)).squeeze(2) / f.shape[1] + eps)
        ctx.save_for_backward(f, fn, m, r)
        return m * r

    @staticmethod
    def backward(ctx, g):
        f, fn, m, r = ctx.saved_tensors
        by_r = (g * m).sum(1, True) * r ** 3 / f.shape[1]
        g = g * r
        return torch.addcmul(g @ fn, f, by_r, value=-1), g.mT @ f, None


class Mix(torch.autograd.Function):
    """post y + comb' h: what leaves a sublayer to all streams, and what they held, mixed."""

    @staticmethod
    def forward(ctx, post, y, comb, h):
        ctx.save_for_backward(post, y, comb, h)
        return torch.baddbmm(post.unsqueeze(2) @ y.unsqueeze(1), comb.mT.contiguous(), h)

    @staticmethod
    def backward(ctx, g):
        post, y, comb, h = ctx.saved_tensors
        return ((g @ y.unsqueeze(2)).squeeze(2), (post.unsqueeze(1) @ g).squeeze(1), h @ g.mT,
                comb.contiguous() @ g)


def swiglu(gate, up, limit):
    return F.silu(gate.clamp(max=limit)) * up.clamp(-limit, limit)


class Model:
    """`p`: the parameters by name. `quantize`: what to do with a matrix before use (name,
    matrix) -> matrix. `fast`: the type of the large products."""

    def __init__(self, c, p, quantize=lambda name, w: w, fast=None):
        self.c, self.p, self.quantize, self.fast = c, p, quantize, fast
        self.eps = c["rms_norm_eps"]
        self.sparse = True     # the indexer's choice counts; in a warm-up all blocks are seen
        self.index_losses = []  # of one pass: how far indexers are from the attention
        self.loads = {}         # of one pass: tokens that each expert had

    def mat(self, name):
        w = self.quantize(name, self.p[name])
        return w.to(self.fast) if self.fast else w

    def lin(self, x, name):
        w = self.mat(name)
        return F.linear(x.to(w.dtype), w)

    def norm(self, x, name):
        w = self.p[name]
        return F.rms_norm(x.to(w.dtype), w.shape, w, self.eps)

    # ---- hyper-connections: h is [token, stream, dimension], of all sequences

    def hc(self, h, at, sublayer):
        n, c = h.shape[1], self.c
        scale, base = self.p[at + "scale"], self.p[at + "base"]
        m = Mixes.apply(h.flatten(1), self.p[at + "fn"], self.eps)
        pre, post, comb = m.split([n, n, n * n], -1)
        pre = (pre * scale[0] + base[:n]).sigmoid() + c["hc_eps"]
        post = 2 * (post * scale[1] + base[n:2 * n]).sigmoid()
        comb = (comb * scale[2] + base[2 * n:]).unflatten(-1, (n, n))
        comb = sinkhorn(comb, c["hc_sinkhorn_iters"], c["hc_eps"])
        return Mix.apply(post, sublayer((pre.unsqueeze(1) @ h).squeeze(1)).to(h.dtype), comb, h)

    def hc_head(self, h, at):
        m = Mixes.apply(h.flatten(1), self.p[at + "hc_head_fn"], self.eps)
        pre = m * self.p[at + "hc_head_scale"] + self.p[at + "hc_head_base"]
        return ((pre.sigmoid() + self.c["hc_eps"]).unsqueeze(1) @ h).squeeze(1)

    # ---- attention

    def compress(self, x, at, ratio, turn):
        """Blocks of `ratio` tokens, each one vector: [batch, blocks, width]."""
        a = self.lin(x, at + "wkv.weight").to(x.dtype).unflatten(1, (-1, ratio))
        z = self.lin(x, at + "wgate.weight").to(x.dtype).unflatten(1, (-1, ratio))
        z = z + self.p[at + "ape"]
        if ratio == 4:  # the first half of the channels is for the block that follows
            width = a.shape[-1] // 2
            prev_a = F.pad(a[..., :width], (0, 0, 0, 0, 1, 0))[:, :-1]
            prev_z = F.pad(z[..., :width], (0, 0, 0, 0, 1, 0), value=FAR)[:, :-1]
            a = torch.cat([prev_a, a[..., width:]], 2)
            z = torch.cat([prev_z, z[..., width:]], 2)
        v = self.norm((z.softmax(2) * a).sum(2), at + "norm.weight")
        return rope(v, turn[::ratio])

    def index_scores(self, x, qr, at, turn, unseen):
        c = self.c
        q = self.lin(qr, at + "wq_b.weight").unflatten(-1, (c["index_n_heads"], -1))
        q = rope(q, turn[:, None]).flatten(1, 2)
        k = self.compress(x, at + "compressor.", 4, turn).to(q.dtype)
        w = F.linear(x, self.p[at + "weights_proj.weight"])
        w = w * (c["index_head_dim"] * c["index_n_heads"]) ** -0.5
        dots = (q @ k.transpose(1, 2)).relu().unflatten(1, (-1, c["index_n_heads"]))
        s = (w.unsqueeze(-1).to(dots.dtype) * dots).sum(2).to(x.dtype)
        return s.masked_fill(unseen, FAR)

    def choose(self, scores, unseen, index):
        """Hide all but the blocks that the indexer ranks first; note how well it ranks."""
        if torch.is_grad_enabled():
            weight = scores.detach().softmax(-1).mean(2)
            miss = -(weight * index.log_softmax(-1)).sum(-1)
            entropy = (weight * weight.clamp(min=1e-9).log()).sum(-1)
            self.index_losses.append((miss + entropy).mean())
        if not self.sparse:
            return unseen
        first = index.detach().topk(min(self.c["index_topk"], index.shape[-1]), -1).indices
        return unseen | torch.ones_like(index, dtype=torch.bool).scatter(-1, first, False)

    def core(self, q, kv, blocks, hidden, sink):
        """q [B, S, H, C] sees a window of kv and all blocks that are not hidden."""
        batch, s, heads, width = q.shape
        win = self.c["sliding_window"]
        i, j = torch.arange(win)[:, None], torch.arange(2 * win)
        out = ((j <= i) | (j > i + win)).expand(s // win, -1, -1).clone()
        out[0] |= j < win  # nothing is before the first chunk
        pair = torch.cat([F.pad(kv, (0, 0, win, 0))[:, :s].unflatten(1, (-1, win)),
                          kv.unflatten(1, (-1, win))], 2)
        q = q * width ** -0.5
        chunks = q.reshape(batch, s // win, win * heads, width)
        near = (chunks @ pair.transpose(-1, -2)).unflatten(2, (win, heads)).to(sink.dtype)
        near = near.masked_fill(out[:, :, None], FAR).flatten(1, 2)
        scores = [sink[:, None].expand(batch, s, heads, 1), near]
        if blocks is not None:
            far = (q.flatten(1, 2) @ blocks.transpose(1, 2)).unflatten(1, (s, heads))
            far = far.to(sink.dtype)
            hide, index = hidden
            far = far.masked_fill(hide[:, :, None], FAR)
            if index is not None:
                far = far.masked_fill(self.choose(far, hide, index)[:, :, None], FAR)
            scores.append(far)
        p = torch.cat(scores, -1).softmax(-1).to(q.dtype)
        o = p[..., 1:1 + 2 * win].reshape(batch, s // win, win * heads, -1) @ pair
        o = o.reshape(batch, s, heads, width)
        if blocks is not None:
            o = o + (p[..., 1 + 2 * win:].flatten(1, 2) @ blocks).unflatten(1, (s, heads))
        return o

    def attention(self, x, at, ratio):
        c = self.c
        at += "attn."
        turn = rope_table(c, ratio, x.shape[1], x.dtype)
        qr = self.norm(self.lin(x, at + "wq_a.weight"), at + "q_norm.weight")
        q = self.lin(qr, at + "wq_b.weight").unflatten(-1, (c["num_attention_heads"], -1))
        q = rope(F.rms_norm(q, q.shape[-1:], None, self.eps), turn[:, None])
        kv = rope(self.norm(self.lin(x, at + "wkv.weight"), at + "kv_norm.weight"), turn)
        blocks = hidden = None
        if ratio:
            blocks = self.compress(x, at + "compressor.", ratio, turn).to(q.dtype)
            seen = (torch.arange(x.shape[1]) + 1) // ratio
            unseen = (torch.arange(blocks.shape[1]) >= seen[:, None]).expand(len(x), -1, -1)
            index = None
            if ratio == 4:  # trained by the attention alone: nothing flows back from here
                index = self.index_scores(x.detach(), qr.detach(), at + "indexer.", turn, unseen)
            hidden = unseen, index
        o = self.core(q, kv.to(q.dtype), blocks, hidden, self.p[at + "attn_sink"])
        o = rope(o, turn.conj()[:, None]).unflatten(2, (c["o_groups"], -1)).flatten(-2)
        wo_a = self.mat(at + "wo_a.weight").unflatten(0, (c["o_groups"], -1))
        o = torch.einsum("bsgd,grd->bsgr", o, wo_a).flatten(2)
        return self.lin(o, at + "wo_b.weight")

    # ---- experts

    def route(self, x, at, tokens):
        c = self.c
        s = F.softplus(F.linear(x, self.p[at + "weight"])).sqrt()
        if at + "tid2eid" in self.p:
            chosen = self.p[at + "tid2eid"][tokens]
        else:
            ranked = s.detach() + self.p[at + "bias"]
            chosen = ranked.topk(c["num_experts_per_tok"], -1).indices
            self.loads[at + "bias"] = torch.bincount(chosen.flatten(), minlength=s.shape[-1])
        w = s.gather(1, chosen)
        return w / w.sum(-1, True) * c["routed_scaling_factor"], chosen

    def experts(self, x, at, tokens):
        at += "ffn."
        weight, chosen = self.route(x, at + "gate.", tokens.flatten())
        limit = self.c["swiglu_limit"]
        s1, s3 = (self.lin(x, f"{at}shared_experts.{w}.weight") for w in ("w1", "w3"))
        y = self.lin(swiglu(s1, s3, limit), at + "shared_experts.w2.weight").to(x.dtype)
        order = chosen.flatten().argsort(stable=True)
        token = order // chosen.shape[1]
        w1, w2, w3 = (self.mat(f"{at}experts.w{i}.weight") for i in (1, 2, 3))
        parts = x.to(w1.dtype)[token].split(
            torch.bincount(chosen.flatten(), minlength=len(w1)).tolist())
        out = torch.cat([F.linear(swiglu(F.linear(part, w1[e]), F.linear(part, w3[e]), limit),
                                  w2[e]) for e, part in enumerate(parts)])
        out = out.to(x.dtype) * weight.flatten()[order, None]
        return y.index_add(0, token, out)

    # ---- the whole

    def block(self, h, at, ratio, tokens):
        h = self.hc(h, at + "hc_attn_", lambda u: self.attention(
            self.norm(u, at + "attn_norm.weight").view(*tokens.shape, -1), at, ratio).flatten(0, 1))
        return self.hc(h, at + "hc_ffn_", lambda u: self.experts(
            self.norm(u, at + "ffn_norm.weight"), at, tokens))

    def head(self, h, at):
        x = self.norm(self.hc_head(h, at), at + "norm.weight")
        w = self.p["head.weight"]
        return F.linear(x.to(self.fast), w.to(self.fast)).float() if self.fast else F.linear(x, w)

    def streams(self, tokens):
        """The streams after the last layer, of tokens [rows, whole windows]."""
        c = self.c
        self.index_losses, self.loads = [], {}
        h = F.embedding(tokens.flatten(), self.p["embed.weight"])
        h = h.unsqueeze(1).repeat(1, c["hc_mult"], 1)
        for i in range(c["num_hidden_layers"]):
            h = self.block(h, f"layers.{i}.", c["compress_ratios"][i], tokens)
        return h

    def logits(self, tokens):
        n, win = tokens.shape[1], self.c["sliding_window"]
        tokens = F.pad(tokens, (0, -n % win))
        return self.head(self.streams(tokens), "").view(*tokens.shape, -1)[:, :n]

    def mtp(self, h, tokens):
        """Logits of the block that looks one token further: h[t], token t + 1 -> token t + 2."""
        at = "mtp.0."
        e = F.embedding(tokens.flatten(), self.p["embed.weight"])
        e = self.lin(self.norm(e, at + "enorm.weight"), at + "e_proj.weight").unsqueeze(1)
        x = e + self.lin(self.norm(h, at + "hnorm.weight"), at + "h_proj.weight")
        return self.head(self.block(x.to(h.dtype), at, 0, tokens), at)
