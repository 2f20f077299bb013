"""check_forward.py RECAST DATA - `recast run` against the official code.

Makes the checkpoints of tests/data/forward with `recast synth`, runs them with both kinds of
numerics and holds logits, streams and choices against the vectors (judge.py). Prefixes are run
as prompts of their own; steps are compared with the rows of the whole prompt, since what recast
gives does not depend on how tokens are fed.

Status 77: this recast has no `run`.
"""

import os
import subprocess
import tempfile

import numpy as np
from safetensors.numpy import load_file

import common
import judge
import official_forward

NUMERICS = {"f64": "f32", "native": "native"}  # vectors: what recast calls it


def run(recast, checkpoint, tokens, numerics, work):
    """Logits [n, V] after each token, and the tensors of the trace."""
    logits, trace = (os.path.join(work, name + ".safetensors") for name in ("logits", "trace"))
    for path in (logits, trace):
        if os.path.exists(path):
            os.remove(path)
    command = [recast, "run", checkpoint, "--tokens", ",".join(str(t) for t in tokens)]
    command += ["--logits", logits, "--trace", trace, "--numerics", numerics, "--quiet"]
    subprocess.run(command, check=True)
    return load_file(logits)["logits"], load_file(trace)


def answer(want, logits, trace):
    """What recast said, under the names of the vectors."""
    layers = sum(name.startswith("hidden.") for name in want)
    out = {"hidden.%d" % i: trace["hidden.%d" % i][want["positions"]] for i in range(layers)}
    out["experts"] = np.stack([trace["experts.%d" % i] for i in range(layers)])
    if "blocks" in want:
        out["blocks"] = np.stack([trace["blocks.%d" % i] for i in want["block_layers"]])
    out["logits"] = logits[want["rows"]]
    for name in (n for n in want if n.startswith("step_logits.")):
        prompt = int(name.split(".")[1])
        out[name] = logits[prompt : prompt + len(want[name])]
    return out


def one_set(check, recast, data, which, work):
    checkpoint = os.path.join(work, which)
    official_forward.make_checkpoint(recast, which, checkpoint)
    made = official_forward.digest(checkpoint)
    for mode, numerics in NUMERICS.items():
        path = os.path.join(data, "%s.%s.safetensors" % (which, mode))
        wanted = official_forward.metadata(path)["checkpoint_sha256"]
        if not check.that(made == wanted, "%s: synth makes other bytes than it did", which):
            continue
        want = load_file(path)
        tokens = want["tokens"].tolist()
        got = answer(want, *run(recast, checkpoint, tokens, numerics, work))
        prompts = [tokens[:n] for n in want["prefixes"]]
        last = [run(recast, checkpoint, p, numerics, work)[0][-1] for p in prompts]
        got["prefix_logits"] = np.stack(last)
        for name, numbers in judge.figures(want, got).items():
            numbers = " ".join("%.1e" % x for x in numbers)
            print("  %s %s %s: %s" % (which, numerics, name, numbers))
        judge.judge(check, which, mode, want, got)


def main(recast, data):
    if subprocess.run([recast, "run", "--help"], capture_output=True).returncode:
        print("skip check_forward: this recast has no `run`")
        return 77
    check = common.Check("forward pass")
    with tempfile.TemporaryDirectory() as work:
        for which in official_forward.SETS:
            one_set(check, recast, data, which, work)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "RECAST", "DATA")
