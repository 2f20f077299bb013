"""check_kl.py RECAST LLAMA_BIN SAMPLE - verify's figures against those of llama.cpp's perplexity tool.

The sample model becomes GGUF files of falling precision; both programs hold each against the exact one on
the same windows of the same text. llama.cpp rounds activations, and differently for each type of weights, so it
sees a divergence between two files that hold equal values: its own noise, measured here with a second
exact file. ours must lie within that noise, and three standard errors, of theirs.
"""

import json
import os
import re
import subprocess

import common

CTX, SKIP = 512, 256  # the tool scores the second half of each window
RECIPES = ["q8_0", "q6_k", "q4_k", "q2_k"]


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace", timeout=900,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def figure(pattern, text):
    """A value and its standard error."""
    found = re.search(pattern + r"\s*:\s*(-?[0-9.]+) ±\s*([0-9.]+)", text)
    return (float(found.group(1)), float(found.group(2))) if found else (None, None)


def whole_windows(recast, sample):
    """The tool leaves out a last window that is not whole: so do we."""
    code, said = run(recast, "tokenize", sample, "-f", os.path.join(sample, "heldout.txt"))
    ids = said.split()
    with open("ids", "w", encoding="ascii") as f:
        f.write(" ".join(ids[: len(ids) // CTX * CTX]))
    return code == 0


def main(recast, folder, sample):
    check = common.Check("KL divergence")
    tool = os.path.join(folder, "llama-perplexity")
    text = os.path.join(sample, "heldout.txt")
    for recipe in ["mxfp4-bf16", "bf16", *RECIPES]:
        code, said = run(recast, "convert", sample, recipe + ".kl.gguf", "--to", "gguf:" + recipe, "--quiet")
        check.that(code == 0, "%s: %s", recipe, said)
    check.that(whole_windows(recast, sample), "no ids")
    run(tool, "-m", "mxfp4-bf16.kl.gguf", "-f", text, "-c", str(CTX), "--kl-divergence-base", "kl.base")

    noise = None
    last = 0
    for recipe in ["bf16", *RECIPES]:
        path = recipe + ".kl.gguf"
        _, said = run(tool, "-m", path, "-c", str(CTX), "--kl-divergence-base", "kl.base", "--kl-divergence")
        theirs, their_se = figure(r"Mean\s+KLD", said)
        ratio, ratio_se = figure(r"Mean PPL\(Q\)/PPL\(base\)", said)
        base, _ = figure(r"Mean PPL\(base\)", said)
        run(recast, "verify", sample, path, "--logits", "--tokens", "ids", "--ctx", str(CTX), "--skip", str(SKIP),
            "--skip-tensors", "--max-kl", "9", "--json", "kl.json")
        with open("kl.json", encoding="utf-8") as f:
            ours = json.load(f)["behaviour"]
        kl, se = ours["kl"]["mean"], ours["kl"]["se"]
        print("     %-5s ours %.6f +- %.6f, llama.cpp %.6f +- %.6f; perplexity ratio %.6f, %.6f +- %.6f"
              % (recipe, kl, se, theirs, their_se, ours["perplexity"]["ratio"]["value"], ratio, ratio_se))
        if noise is None:
            noise = theirs
            check.that(kl == 0, "%s: equal values, but a divergence of %g", recipe, kl)
        else:
            check.that(abs(kl - theirs) <= noise + 3 * (se**2 + their_se**2) ** 0.5, "%s: %g, llama.cpp says %g",
                       recipe, kl, theirs)
            check.that(kl > last, "%s: %g, the finer one before has %g", recipe, kl, last)
            last = kl
        check.that(abs(ours["perplexity"]["native"]["value"] / base - 1) < 1e-3, "perplexity %g, llama.cpp says %g",
                   ours["perplexity"]["native"]["value"], base)
        check.that(abs(ours["perplexity"]["ratio"]["value"] - ratio) <= 3 * ratio_se, "%s: ratio", recipe)
        check.count("files")
    return check.finish()


common.run(main, "RECAST", "LLAMA_BIN", "SAMPLE")
