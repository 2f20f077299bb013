"""check_awq.py INT4 - the search for AWQ's scales on one linear layer, against AutoAWQ's.

AutoAWQ's search, from its formulas in float64: twenty ratios, the loss being the mean squared
error of the layer's output on sample activations; then its ten clipped ranges, judged by the
output's error of each row and group. INT4 is tests/cli/int4: rc_awq_* and rc_int4_* on the same
matrix. Asked for:

  - under the same loss (that of the output, on the same samples) the same ratio, within a step;
  - what rc_awq_losses takes instead, the second moments' diagonal, leads to a ratio whose
    loss is within 2 % of the least;
  - on other samples, after clipping: a loss that equals AutoAWQ's (within 1 %) or beats it, and
    with RC_INT4_BEST one that beats it.

Where they can be imported, llm-compressor's own search on the same layer takes the same ratio
within a step of its grid, at a loss within 2 % of ours, and RC_INT4_BEST has less; and
compressed_tensors' quantizer makes the same values as RC_INT4_NEAREST.
"""

import os
import subprocess

import numpy as np

import common

GRID = 20


def make_layer(rows, cols, rng):
    """Weights, and activations of which few channels are large, like those after a norm."""
    w = rng.standard_normal((rows, cols)) * 0.02 * np.exp(0.3 * rng.standard_normal((1, cols)))
    size = np.exp(0.5 * rng.standard_normal(cols))
    size[rng.choice(cols, cols // 64, replace=False)] *= 20
    mix = np.eye(cols) + 0.3 * rng.standard_normal((cols, cols)) / np.sqrt(cols)
    make = lambda n: (rng.standard_normal((n, cols)) @ mix) * size
    return w.astype(np.float32), make


def pseudo_quantize(w, group):
    """AutoAWQ: asymmetric, the range as it is."""
    g = w.reshape(-1, group)
    top, bottom = g.max(1, keepdims=True), g.min(1, keepdims=True)
    scale = np.maximum(top - bottom, 1e-5) / 15
    zero = np.clip(-np.round(bottom / scale), 0, 15)
    return ((np.clip(np.round(g / scale) + zero, 0, 15) - zero) * scale).reshape(w.shape)


def scales(w, x, ratio, group):
    x_mean = np.abs(x).mean(0)
    g = np.abs(w).reshape(-1, group)
    w_mean = (g / (g.max(1, keepdims=True) + 1e-6)).reshape(w.shape).mean(0)
    s = np.maximum(x_mean**ratio / (w_mean ** (1 - ratio) + 1e-4), 1e-4)
    return s / np.sqrt(s.max() * s.min())


def output_loss(x, w, y):
    return float(np.mean((x @ (y - w).T.astype(np.float64)) ** 2))


def clip(w, x, group):
    """AutoAWQ's ten ranges, each row and group by its part of the output."""
    rows, cols = w.shape
    out = np.empty_like(w)
    for at in range(0, cols, group):
        part, seen = w[:, at : at + group], x[:512, at : at + group]
        most = np.abs(part).max(1, keepdims=True)
        least, kept = np.full((rows, 1), np.inf), most
        for i in range(10):
            m = (1 - i / 20) * most
            off = pseudo_quantize(np.clip(part, -m, m), group) - part
            error = ((seen @ off.T) ** 2).mean(0)[:, None]
            kept, least = np.where(error < least, m, kept), np.minimum(error, least)
        out[:, at : at + group] = np.clip(part, -kept, kept)
    return out


def theirs(w, x, group):
    losses = []
    for i in range(GRID):
        s = scales(w, x, i / GRID, group)
        losses.append(output_loss(x, w, pseudo_quantize(w * s, group) / s))
    s = scales(w, x, int(np.argmin(losses)) / GRID, group)
    return losses, pseudo_quantize(clip(w * s, x / s, group), group) / s


def ours(tool, w, x, group, kind, search):
    """The losses that the search goes by, and the layer under each ratio."""
    w.tofile("w.f32")
    np.abs(x).mean(0).astype(np.float64).tofile("x_mean.f64")
    (x**2).mean(0).astype(np.float32).tofile("power.f32")
    subprocess.run(
        [tool, *map(str, w.shape), str(group), kind, search, "w.f32", "x_mean.f64", "power.f32",
         "losses.f64", "y.f32"], check=True)
    return np.fromfile("losses.f64"), np.fromfile("y.f32", np.float32).reshape(GRID, *w.shape)


def llm_compressor(w, x, group):
    """The scales that its AWQModifier takes, and the loss that it saw; None without the package."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        import torch
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        from compressed_tensors.quantization.lifecycle.initialize import initialize_module_for_quantization
        from llmcompressor.modifiers.transform.awq.base import AWQModifier
        from llmcompressor.modifiers.transform.awq.mappings import ResolvedMapping
        from llmcompressor.pipelines.cache import IntermediatesCache
    except ImportError:
        return None
    inputs = torch.from_numpy(x.astype(np.float32))
    linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    linear.weight.data = torch.from_numpy(w.copy())
    args = QuantizationArgs(num_bits=4, symmetric=False, strategy="group", group_size=group)
    initialize_module_for_quantization(linear, QuantizationScheme(targets=["Linear"], weights=args))
    linear.quantization_enabled = False
    modifier, seen = AWQModifier(mappings=[]), IntermediatesCache(None, None)
    seen.append({"input": inputs})
    modifier._parent_args_cache[linear] = seen
    modifier._smooth_activation_stats["norm"] = [inputs.abs().sum(0), torch.tensor(len(inputs))]
    where = ResolvedMapping("norm", torch.nn.Identity(), [linear], ["linear"], linear, "linear")
    with torch.no_grad():
        outputs = modifier._run_samples(linear)
        s = modifier._compute_best_scale(where, outputs, {linear: linear.weight.clone()})
    return s.numpy(), modifier._error_metrics[-1]["best_error"]


def check_llm_compressor(check, what, w, x, group, losses, best):
    found = llm_compressor(w, x, group)
    if found is None:
        return "llm-compressor not asked"
    s, least = found
    grid = np.arange(GRID - 1) / (GRID - 2)  # its own
    off = [np.max(np.abs(np.log(scales(w, x, r, group) / s))) for r in grid]
    ratio, mine = float(grid[int(np.argmin(off))]), int(np.argmin(losses)) / GRID
    check.that(min(off) < 1e-3, "%s: llm-compressor's scales are of none of its ratios", what)
    check.that(abs(ratio - mine) <= grid[1] + 1e-9, "%s: llm-compressor takes ratio %.3f, we %.3f", what, ratio, mine)
    check.that(min(losses) <= 1.02 * least, "%s: our loss is %.4f of llm-compressor's", what, min(losses) / least)
    check.that(best <= least, "%s: RC_INT4_BEST has %.4f of llm-compressor's loss", what, best / least)
    check.count("llm-compressor searches")
    return "llm-compressor %.3f, loss of its %.3f (nearest), %.3f (best)" % (ratio, min(losses) / least, best / least)


def check_search(check, tool, rows, cols, group, rng):
    what = "%d x %d, group %d" % (rows, cols, group)
    w, make = make_layer(rows, cols, rng)
    x, fresh = make(1024), make(1024)
    their_losses, their_layer = theirs(w.astype(np.float64), x, group)
    proxy, layers = ours(tool, w, x, group, "asymmetric", "nearest")
    losses = [output_loss(x, w, y) for y in layers]
    at, mine = int(np.argmin(their_losses)), int(np.argmin(losses))
    check.that(abs(at - mine) <= 1, "%s: AutoAWQ takes ratio %d/20, we %d/20", what, at, mine)
    cheap = int(np.argmin(proxy))
    check.that(losses[cheap] <= 1.02 * min(losses), "%s: without samples ratio %d/20: loss %.4g, least %.4g",
               what, cheap, losses[cheap], min(losses))
    bound = output_loss(fresh, w, their_layer)
    said = {}
    for search, most in (("clip", 1.01), ("best", 1.0)):
        proxy, layers = ours(tool, w, x, group, "asymmetric", search)
        layer = layers[int(np.argmin(proxy))]
        said[search] = output_loss(fresh, w, layer) / bound
        check.that(said[search] <= most, "%s: %s has %.4f of AutoAWQ's loss", what, search, said[search])
    other = check_llm_compressor(check, what, w, x, group, losses, output_loss(x, w, layer))
    print("     %s: ratio %.2f, AutoAWQ %.2f, loss of its %.3f (clip), %.3f (best); %s"
          % (what, cheap / GRID, at / GRID, said["clip"], said["best"], other))
    check.count("ratios", 2 * GRID)


def check_compressed_tensors(check, tool, rng):
    """Symmetric and not: their scales and zero points for the range, their values under them."""
    try:
        import torch
        from compressed_tensors.quantization import QuantizationArgs
        from compressed_tensors.quantization.lifecycle.forward import fake_quantize
        from compressed_tensors.quantization.utils import calculate_qparams
    except ImportError as e:
        print("     no compressed_tensors: its quantizer is not asked (%s)" % e)
        return
    w, _ = make_layer(64, 512, rng)
    nothing = np.full((1, w.shape[1]), np.nan)  # no statistics: scales of 1
    for group in (32, 128):
        for symmetric in (True, False):
            args = QuantizationArgs(num_bits=4, symmetric=symmetric, strategy="group", group_size=group)
            _, layers = ours(tool, w, nothing, group, "symmetric" if symmetric else "asymmetric", "nearest")
            groups = torch.from_numpy(w.reshape(len(w), -1, group))
            scale, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
            scale = scale.half().float()  # zero points and codes are those of the stored scale
            zero = torch.zeros_like(scale)
            if not symmetric:
                zero = torch.round(torch.clamp(-8 - groups.amin(-1).clamp(max=0) / scale, -8, 7))
            want = fake_quantize(torch.from_numpy(w), scale, zero, args).numpy()
            same = np.mean(want == layers[1])
            step = np.repeat(scale.numpy(), group, 1)
            # they add the zero point before rounding: of halves one code may differ
            check.that(same > 0.999 and np.all(np.abs(want - layers[1]) <= 1.001 * step),
                       "group %d, symmetric %s: %.5f of the values are theirs", group, symmetric, same)
            check.count("values of compressed_tensors", w.size)


def main(tool):
    check = common.Check("AWQ's search")
    rng = np.random.default_rng(20260101)
    for rows, cols in ((192, 512), (256, 1024)):
        for group in (128, 32):
            check_search(check, tool, rows, cols, group, rng)
    check_compressed_tensors(check, tool, rng)
    return check.finish()


common.run(main, "INT4")
