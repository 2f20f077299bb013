"""official_forward.py make|check|measure RECAST DATA - vectors of the forward pass.

OFFICIAL names a folder with the official inference/model.py. Checkpoints come from
`recast synth`, tokens from a generator below; the answers from the official code
(official_model.py), and DATA/README.md says what lies where. `make` writes the vectors,
`check` makes them again and compares, within what another build of torch may change. `measure`
prints how far other ways of computing are from the vectors: the figures of DATA/README.md.

Status 77: OFFICIAL is not set, or torch is not there.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

import ml_dtypes
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

SETS = {
    "choice": {
        "seed": 1,
        "modes": ("f64", "native"),
        "config": {},
        "tokens": 1000,
        "positions": [0, 3, 7, 8, 35, 126, 127, 128, 255, 256, 515, 999],
    },
    "smooth": {
        "seed": 2,
        "modes": ("f64", "native", "native-one-max"),
        "config": {"swiglu_limit": 0.3, "index_topk": 512},
        "tokens": 400,
        "positions": [0, 1, 2, 3, 4, 6, 7, 8, 31, 64, 126, 127, 128, 129, 131]
        + [255, 256, 257, 300, 399],
    },
}
PAIRS = (  # of official_model.py's modes: how near they are to each other
    ("f32", "f64"),
    ("f64-angles", "f64"),
    ("native-f32", "native"),
    ("native-one-max", "native"),
    ("native", "f64"),
)
STEPS = {1: 10, 3: 6, 126: 6, 255: 5}  # tokens in the prompt: single steps after it
PREFIXES = [1, 3, 4, 5, 7, 8, 9, 127, 128, 129, 255, 256, 257]  # each a prompt of its own
ROWS = sorted(
    {*range(16), *range(30, 40), 48, 63, 64, 65, 96, *range(125, 134), *range(190, 194)}
    | {*range(252, 262), 300, 382, 383, 384, 398, 399, 510, 511, 512, 640, 767, 768, 895, 896}
    | {998, 999}
)


def tokens_of(seed, count, vocab):
    """MINSTD: no library's idea of a random number takes part."""
    out, state = [], seed
    for _ in range(count):
        state = state * 48271 % 2147483647
        out.append(state // 7 % vocab)
    return out


def make_checkpoint(recast, name, folder):
    """A checkpoint of set `name` in `folder`: synth, and the changes to its config."""
    what = SETS[name]
    command = [recast, "synth", folder, "--like", "tiny", "--seed", str(what["seed"]), "--quiet"]
    subprocess.run(command, check=True)
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for key, value in what["config"].items():
        text, found = re.subn(r'("%s": )[0-9.]+' % key, r"\g<1>%s" % json.dumps(value), text)
        if found != 1:
            raise ValueError("config.json has no %s" % key)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def digest(folder):
    """SHA-256 of the shards, one after the other."""
    total = hashlib.sha256()
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".safetensors")):
        with open(os.path.join(folder, name), "rb") as f:
            total.update(f.read())
    return total.hexdigest()


def distance(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def numbers(x, mode):
    """What is BF16 in the model stays BF16 in the file."""
    x = x.float().numpy() if mode.startswith("native") else x.numpy()
    return x.astype(ml_dtypes.bfloat16 if mode.startswith("native") else np.float32)


def f32(x):
    return x.double().numpy().astype(np.float32)


def stack(seen, layers, fill):
    """One array [layers, n, ..] of what some layers have; the others hold `fill`."""
    import torch

    like = next(iter(seen.values()))
    return torch.stack([seen.get(i, torch.full_like(like, fill)) for i in layers]).numpy()


def whole_prompt(model, what, mode, out):
    """One call with all tokens: logits, and what happened inside."""
    tokens = out["tokens"].tolist()
    layers = range(len(model.net.layers))
    model.reset()
    logits, seen = model.forward(tokens), model.seen
    rows = [i for i in ROWS if i < len(tokens)]
    out["rows"], out["logits"] = np.array(rows, np.int32), f32(logits[rows])
    at = np.array(what["positions"], np.int32)
    out["positions"] = at
    for i in layers:
        out["hidden.%d" % i] = numbers(seen["hidden"][i][at.tolist()], mode)
    out["experts"] = stack(seen["experts"], layers, 0).astype(np.uint8)
    out["gate_margin"] = stack(seen["gate_margin"], layers, float("inf")).astype(np.float32)
    if seen["blocks"][max(seen["blocks"])].size(1) < len(tokens) // 4:  # else all are taken
        out["block_layers"] = np.array(sorted(seen["blocks"]), np.int32)
        out["blocks"] = stack(seen["blocks"], sorted(seen["blocks"]), -1).astype(np.int32)
        margin = stack(seen["block_margin"], sorted(seen["blocks"]), float("inf"))
        out["block_margin"] = margin.astype(np.float32)

    last = seen["hidden"][len(layers) - 1]
    draft_at = [p for p in what["positions"] if p + 1 < len(tokens)]
    out["draft_positions"] = np.array(draft_at, np.int32)
    model.reset()
    out["draft_logits_same"] = f32(model.draft(last, tokens)[draft_at])
    model.reset()
    out["draft_logits"] = f32(model.draft(last[:-1], tokens[1:])[draft_at])
    out["draft_experts"] = model.seen["experts"][len(layers)].numpy().astype(np.uint8)
    return logits.double().numpy()


def vectors(model, what, mode):
    tokens = tokens_of(what["seed"], what["tokens"], model.config["vocab_size"])
    out = {"tokens": np.array(tokens, np.int32)}
    logits = whole_prompt(model, what, mode, out)
    spread = {"prefix": 0.0, "steps": 0.0}  # from the rows of the whole prompt

    rows = []
    for n in PREFIXES:
        model.reset()
        rows.append(f32(model.forward(tokens[:n])[-1]))
        spread["prefix"] = max(spread["prefix"], distance(rows[-1], logits[n - 1]))
    out["prefixes"], out["prefix_logits"] = np.array(PREFIXES, np.int32), np.stack(rows)

    for prompt, count in STEPS.items():
        model.reset()
        model.forward(tokens[:prompt])
        rows = []
        for i in range(prompt, prompt + count):
            rows.append(f32(model.forward([tokens[i]], i)[0]))
            spread["steps"] = max(spread["steps"], distance(rows[-1], logits[i]))
        out["step_logits.%d" % prompt] = np.stack(rows)
    if mode == "f64" and max(spread.values()) > 2e-7:
        raise ValueError("prefill of a prefix and steps differ from the whole prompt: %s" % spread)
    return out, spread


def produce(official, recast, work):
    """Yield (file name, vectors, metadata)."""
    import torch

    import official_model

    with open(os.path.join(official, "model.py"), "rb") as f:
        model_sha = hashlib.sha256(f.read()).hexdigest()
    for name, what in SETS.items():
        folder = os.path.join(work, name)
        make_checkpoint(recast, name, folder)
        for mode in what["modes"]:
            model = official_model.Model(official, folder, mode)
            out, spread = vectors(model, what, mode)
            meta = {
                "mode": mode,
                "checkpoint": "recast synth --like tiny --seed %d" % what["seed"],
                "config": json.dumps(what["config"]),
                "checkpoint_sha256": digest(folder),
                "model_py_sha256": model_sha,
                "torch": torch.__version__.split("+")[0],
            }
            yield "%s.%s.safetensors" % (name, mode), out, meta, spread


def measure(official, recast, data, work):
    """The bounds of judge.py come from here."""
    import judge
    import official_model

    for name, what in SETS.items():
        folder = os.path.join(work, name)
        make_checkpoint(recast, name, folder)
        for mode, against in PAIRS:
            want = judge.vectors(data, name, against)
            got = {"tokens": want["tokens"]}
            whole_prompt(official_model.Model(official, folder, mode), what, mode, got)
            print("%s: %s against %s" % (name, mode, against))
            for key, numbers in judge.figures(want, got).items():
                print("  %-20s %s" % (key, " ".join("%.1e" % x for x in numbers)))
            for key, margin in (("experts", "gate_margin"), ("blocks", "block_margin")):
                if key in want:
                    lost = want[margin][judge.moved(got[key], want[key])]
                    lost = np.quantile(lost, (0.5, 0.9, 1)) if lost.size else []
                    print("  margins of moved %s:" % key, " ".join("%.1e" % x for x in lost))


def metadata(path):
    with safe_open(path, "numpy") as f:
        return json.loads(f.metadata()["made"])


def check_file(check, path, new, meta):
    import judge

    old, was = load_file(path), metadata(path)
    name = os.path.basename(path)
    for key in ("mode", "checkpoint", "config", "checkpoint_sha256"):
        same = was[key] == meta[key]
        if not check.that(same, "%s: %s was %s, is %s", name, key, was[key], meta[key]):
            return
    check.that(set(old) == set(new), "%s: other tensors: %s", name, sorted(set(old) ^ set(new)))
    for key in ("tokens", "positions", "rows", "prefixes", "draft_positions"):
        check.that(np.array_equal(old[key], new[key]), "%s: other %s", name, key)
    judge.judge(check, name.split(".")[0], meta["mode"], old, new)


def main(command, recast, data):
    official = os.environ.get("OFFICIAL")
    if not official:
        print("skip official_forward: OFFICIAL does not name the folder of the official model.py")
        return 77
    try:
        import torch
    except ImportError:
        print("skip official_forward: this Python has no torch")
        return 77
    import common

    torch.set_num_threads(1)  # one order of adding
    check = common.Check("official forward pass")
    with tempfile.TemporaryDirectory() as work:
        if command == "measure":
            measure(official, os.path.abspath(recast), data, work)
            return 0
        for name, out, meta, spread in produce(official, os.path.abspath(recast), work):
            path = os.path.join(data, name)
            if command == "make":
                save_file(out, path, {"made": json.dumps(meta)})  # two keys have no order
                print("%s: %d bytes" % (name, os.path.getsize(path)), spread, flush=True)
            else:
                check_file(check, path, out, meta)
    return 0 if command == "make" else check.finish()


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("make", "check", "measure"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
