"""check_transformers.py RECAST DATA - a second opinion: DeepseekV4 of transformers.

It loads, in float32, what `recast convert --to bf16` makes of the checkpoint of a set. It quantizes
no activation, so it answers to the `f64` vectors, within the bound of any float runtime
(judge.EXACT). Where it goes its own way it comes to the same: no Hadamard rotation, since a
rotation leaves dot products; the routing weight after w2; 1e-20 added to the sum of the routing
weights; the window by a mask. It has no MTP block.

Status 77: torch or transformers is not there.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np

import common
import judge
import official_forward

ABSENT = 1 << 20


def open_model(folder):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    return model.eval(), info


def watch(model, seen):
    def keep(kind, i, value):
        seen[kind, i] = value[0] if isinstance(value, tuple) else value

    for i, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda _m, _x, y, i=i: keep("hidden", i, y))
        layer.mlp.gate.register_forward_hook(lambda _m, _x, y, i=i: keep("experts", i, y[2]))
        indexer = getattr(layer.self_attn.compressor, "indexer", None)
        if indexer is not None:
            indexer.register_forward_hook(lambda _m, _x, y, i=i: keep("blocks", i, y))


def ascending(x):
    """Rows in order, -1 last."""
    x = np.sort(np.where(x < 0, ABSENT, x), axis=-1)
    return np.where(x == ABSENT, -1, x)


def whole(model, tokens):
    import torch

    return model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()


def answer(model, want):
    import torch

    seen, tokens, out = {}, want["tokens"].tolist(), {}
    watch(model, seen)
    with torch.inference_mode():
        logits = whole(model, tokens)
        layers = len(model.model.layers)
        for i in range(layers):
            streams = seen["hidden", i].reshape(len(tokens), -1, model.config.hidden_size)
            out["hidden.%d" % i] = streams.numpy()[want["positions"]]
        rows = [seen["experts", i].reshape(len(tokens), -1).numpy() for i in range(layers)]
        out["experts"] = np.sort(np.stack(rows), axis=-1)
        if "blocks" in want:
            rows = [seen["blocks", i][0].numpy() for i in want["block_layers"]]
            out["blocks"] = np.stack([ascending(x) for x in rows])
        out["logits"] = logits[want["rows"]]
        out["prefix_logits"] = np.stack([whole(model, tokens[:n])[-1] for n in want["prefixes"]])
        for name in (n for n in want if n.startswith("step_logits.")):
            out[name] = steps(model, tokens, int(name.split(".")[1]), len(want[name]))
    return out


def steps(model, tokens, prompt, count):
    import torch

    cache, rows = model(torch.tensor([tokens[:prompt]]), use_cache=True).past_key_values, []
    for token in tokens[prompt : prompt + count]:
        result = model(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
        cache = result.past_key_values
        rows.append(result.logits[0, -1].numpy())
    return np.stack(rows)


def main(recast, data):
    try:
        import torch  # noqa: F401
        from transformers import DeepseekV4ForCausalLM  # noqa: F401
    except ImportError:
        print("skip check_transformers: this Python has no transformers with DeepseekV4")
        return 77
    check = common.Check("transformers")
    with tempfile.TemporaryDirectory() as work:
        for name in official_forward.SETS:
            native, plain = os.path.join(work, name), os.path.join(work, name + "-bf16")
            official_forward.make_checkpoint(recast, name, native)
            command = [recast, "convert", native, plain, "--to", "bf16", "--quiet"]
            subprocess.run(command, check=True)
            model, info = open_model(plain)
            odd = info["missing_keys"] or info["unexpected_keys"]
            check.that(not odd, "%s: %s", name, info)
            want = judge.vectors(data, name, "f64")
            got = answer(model, want)
            for key, numbers in judge.figures(want, got).items():
                print("  %s %s: %s" % (name, key, " ".join("%.1e" % x for x in numbers)))
            judge.judge(check, name, "f64", want, got)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "RECAST", "DATA")
