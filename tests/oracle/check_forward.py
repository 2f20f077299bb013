"""check_forward.py RECAST DATA - `recast run` against the official code.

Makes the checkpoints of tests/data/forward with `recast synth`, runs them with both kinds of
numerics and holds logits, streams and choices against the vectors (judge.py). Prefixes are run
as prompts of their own; steps are compared with the rows of the whole prompt, since what recast
gives does not depend on how tokens are fed.
"""

import os
import subprocess
import tempfile

import numpy as np
from safetensors.numpy import load_file

import common
import judge
import official_forward

# vectors: what recast calls it
NUMERICS = {"f64": "f32", "native": "native", "native-one-max": "native"}


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


def everything(recast, checkpoint, want, numerics, work):
    tokens = want["tokens"].tolist()
    got = answer(want, *run(recast, checkpoint, tokens, numerics, work))
    prompts = [tokens[:n] for n in want["prefixes"]]
    last = [run(recast, checkpoint, p, numerics, work)[0][-1] for p in prompts]
    return dict(got, prefix_logits=np.stack(last))


def one_set(check, recast, data, which, work):
    checkpoint = os.path.join(work, which)
    official_forward.make_checkpoint(recast, which, checkpoint)
    made, answers = official_forward.digest(checkpoint), {}
    for mode in official_forward.SETS[which]["modes"]:
        path = os.path.join(data, "%s.%s.safetensors" % (which, mode))
        wanted = official_forward.metadata(path)["checkpoint_sha256"]
        if not check.that(made == wanted, "%s: synth makes other bytes than it did", which):
            continue
        want, numerics = load_file(path), NUMERICS[mode]
        if numerics not in answers:
            answers[numerics] = everything(recast, checkpoint, want, numerics, work)
        got = answers[numerics]
        for name, numbers in judge.figures(want, got).items():
            print("  %s %s %s:" % (which, mode, name), " ".join("%.1e" % x for x in numbers))
        judge.judge(check, which, mode, want, got)


def main(recast, data):
    check = common.Check("forward pass")
    with tempfile.TemporaryDirectory() as work:
        for which in official_forward.SETS:
            one_set(check, recast, data, which, work)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "RECAST", "DATA")
