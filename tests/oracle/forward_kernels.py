"""The kernels that the official model.py imports, in plain PyTorch, for the CPU.

model.py takes seven functions from GPU code: act_quant, fp4_act_quant, fp8_gemm, fp4_gemm,
sparse_attn, hc_split_sinkhorn and hadamard_transform. Here they are twice:

    native()  the rounding of the release: activations to E4M3 under powers of two, the
              index vectors to E2M1, sums of exact products, results in BF16
    exact()   float64 and no rounding at all: the function that the weights stand for

Sums of products are taken in float64 and rounded once to F32: every order of adding in F32
is then equally far away, and the vectors are those of no machine in particular.
"""

import types

import torch
import torch.nn.functional as functional

E4M3_MAX, E2M1_MAX = 448.0, 6.0
ATTENTION_BLOCK = 64  # candidates under one running maximum
QUERIES = 64
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)
E2M1 = torch.cat([E2M1, -E2M1])


def power_of_two_above(x):
    """The least power of two that is not below x (F32, normal, positive)."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.ones_like(x), exponent - (mantissa == 0.5).int())


def e8m0(scale):
    """float8_e8m0fnu -> float64"""
    exponent = scale.view(torch.uint8).int() - 127
    return torch.ldexp(torch.ones_like(exponent, dtype=torch.float64), exponent)


def round_e2m1(x):
    """To the nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6; ties to the even code. |x| <= 6."""
    size = x.abs()
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.round(x / step) * step


def codes_e2m1(packed):
    """Two codes a byte, the low nibble first -> float64"""
    raw = packed.view(torch.uint8)
    pair = torch.stack([raw & 15, raw >> 4], dim=-1)
    return E2M1[pair.long()].flatten(-2)


def quantize(x, block, least, largest, to_code):
    """Blocks of the last axis -> (values on the grid, F32 scales), x = value * scale."""
    blocks = x.float().unflatten(-1, (-1, block))
    amax = blocks.abs().amax(dim=-1, keepdim=True).clamp_min(least)
    scale = power_of_two_above(amax * torch.tensor(1 / largest, dtype=torch.float32))
    return to_code((blocks / scale).clamp(-largest, largest)), scale


def round_e4m3(x):
    return x.to(torch.float8_e4m3fn)


def native_act_quant(x, block_size=128, scale_fmt=None, scale_dtype=None, inplace=False):
    if scale_fmt != "ue8m0":
        raise ValueError("only models with power-of-two scales")
    code, scale = quantize(x, block_size, 1e-4, E4M3_MAX, round_e4m3)
    if inplace:
        return x.copy_((code.float() * scale).flatten(-2))
    return code.flatten(-2), scale.squeeze(-1).to(torch.float8_e8m0fnu)


def native_fp4_act_quant(x, block_size=32, inplace=False):
    if not inplace:
        raise ValueError("the model rounds in place only")
    code, scale = quantize(x, block_size, 6 * 2.0**-126, E2M1_MAX, round_e2m1)
    return x.copy_((code * scale).flatten(-2))


def spread(scale, block):
    return e8m0(scale).repeat_interleave(block, dim=-1)


def native_fp8_gemm(a, a_scale, b, b_scale, scale_dtype=None):
    weight = b.double() * spread(b_scale, 128).repeat_interleave(128, dim=0)[: b.size(0)]
    return bf16((a.double() * spread(a_scale, 128)) @ weight.T)


def native_fp4_gemm(a, a_scale, b, b_scale, scale_dtype=None):
    weight = codes_e2m1(b) * spread(b_scale, 32)
    return bf16((a.double() * spread(a_scale, 128)) @ weight.T)


def bf16(x):
    return x.float().bfloat16()


def gather(kv, indices):
    """[b, n, d] by [b, s, k] -> [b, s, k, d]; what -1 fetches is masked by the caller."""
    batch = torch.arange(kv.size(0)).view(-1, 1, 1)
    return kv[batch, indices.clamp_min(0).long()]


def scores_of(q, kv, indices, scale):
    dots = torch.einsum("bshd,bskd->bshk", q.double(), gather(kv, indices).double())
    return (dots * scale).masked_fill((indices < 0).unsqueeze(2), float("-inf"))


def by_queries(attend):
    """A few queries at a time: what they gather would not fit in memory all at once."""

    def whole(q, kv, sink, indices, scale, **options):
        parts = zip(q.split(QUERIES, dim=1), indices.split(QUERIES, dim=1))
        return torch.cat([attend(a, kv, sink, i, scale, **options) for a, i in parts], dim=1)

    return whole


@by_queries
def native_sparse_attn(q, kv, sink, indices, scale, block=ATTENTION_BLOCK):
    """Online softmax over blocks of candidates. Probabilities are BF16 where they meet the
    values and F32 where they are summed; the sink joins the sum last."""
    b, s, h, d = q.shape
    top = torch.full((b, s, h, 1), float("-inf"))
    total, out = torch.zeros(b, s, h, 1), torch.zeros(b, s, h, d, dtype=torch.float64)
    for part in indices.split(block, dim=-1):
        score = scores_of(q, kv, part, scale).float()
        before, top = top, torch.maximum(top, score.amax(-1, keepdim=True))
        fade = torch.exp(before - top)
        p = torch.exp(score - top)
        total = total * fade + p.double().sum(-1, keepdim=True).float()
        values = torch.einsum(
            "bshk,bskd->bshd", p.bfloat16().double(), gather(kv, part).double()
        )
        out = out * fade + values
    total = total + torch.exp(sink.view(1, 1, h, 1) - top)
    return bf16(out.float() / total)


@by_queries
def exact_sparse_attn(q, kv, sink, indices, scale):
    score = scores_of(q, kv, indices, scale)
    top = score.amax(-1, keepdim=True)
    p = torch.exp(score - top)
    total = p.sum(-1, keepdim=True) + torch.exp(sink.view(1, 1, -1, 1) - top)
    out = torch.einsum("bshk,bskd->bshd", p / total, gather(kv, indices).double())
    return out.to(q.dtype)


def hc_split_sinkhorn(mixes, scale, base, hc=4, iterations=20, eps=1e-6):
    """[.., (2 + hc) * hc] -> pre [.., hc], post [.., hc], comb [.., from, to]"""
    pre, post, comb = mixes.split([hc, hc, hc * hc], dim=-1)
    pre_base, post_base, comb_base = base.split([hc, hc, hc * hc])
    pre = torch.sigmoid(pre * scale[0] + pre_base) + eps
    post = 2 * torch.sigmoid(post * scale[1] + post_base)
    comb = (comb * scale[2] + comb_base).unflatten(-1, (hc, hc)).softmax(-1) + eps
    for i in range(iterations):
        if i:
            comb = comb / (comb.sum(-1, keepdim=True) + eps)
        comb = comb / (comb.sum(-2, keepdim=True) + eps)
    return pre, post, comb


def hadamard_transform(x, scale=1.0):
    """Walsh-Hadamard in natural order: butterflies in F32 (float64 stays), one rounding."""
    y = x if x.dtype == torch.float64 else x.float()
    n, half = x.size(-1), 1
    while half < n:
        low, high = y.unflatten(-1, (-1, 2, half)).unbind(-2)
        y = torch.stack([low + high, low - high], dim=-2).flatten(-3)
        half *= 2
    return (y * scale).to(x.dtype)


def leave(x, *_args, **_kwargs):
    return x


def never(*_args, **_kwargs):
    raise AssertionError("no weight is quantized here")


def module(**functions):
    out = types.ModuleType("kernel")
    out.hc_split_sinkhorn, out.hadamard_transform = hc_split_sinkhorn, hadamard_transform
    for name, function in functions.items():
        setattr(out, name, function)
    return out


def native():
    return module(
        act_quant=native_act_quant,
        fp4_act_quant=native_fp4_act_quant,
        fp8_gemm=native_fp8_gemm,
        fp4_gemm=native_fp4_gemm,
        sparse_attn=native_sparse_attn,
    )


def exact():
    return module(
        act_quant=leave,
        fp4_act_quant=leave,
        fp8_gemm=never,
        fp4_gemm=never,
        sparse_attn=exact_sparse_attn,
    )


def linear(x, weight):
    """F.linear with its sums in float64, rounded to F32 and then to the type of x."""
    return functional.linear(x.double(), weight.double()).float().to(x.dtype)


def einsum(equation, *operands):
    result = torch.einsum(equation, *(x.double() for x in operands))
    return result.float().to(operands[0].dtype)


def rsqrt(x):
    """Rounded once: torch on the CPU rounds the root to BF16 too, in the odd ends of an array."""
    return torch.rsqrt(x.double()).to(x.dtype)
