"""check_quantize.py LLAMA_BIN BF16.gguf IMATRIX FILE... - the bytes of llama-quantize.

Each FILE is recast's, named TYPE.gguf or weighted-TYPE.gguf (made with IMATRIX). llama-quantize
makes the same type of BF16.gguf, which holds the same values; every stack of experts must
come out equal to the byte.
"""

import os
import subprocess

import gguf
import numpy as np

import common

# What is no expert stays BF16: some types refuse a tensor without importance.
OTHERS = ["attn", "hc_", "shexp", "indexer"]


def stacks(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors if "_exps." in t.name}


def quantize(check, folder, source, imatrix, path):
    kind = os.path.basename(path)[: -len(".gguf")]
    weights = ["--imatrix", imatrix] if kind.startswith("weighted-") else []
    keep = [x for name in OTHERS for x in ("--tensor-type", name + "=bf16")]
    theirs = "theirs.gguf"
    done = subprocess.run(
        [os.path.join(folder, "llama-quantize"), "--pure", *weights, *keep, "--token-embedding-type", "bf16",
         "--output-tensor-type", "bf16", source, theirs, kind.split("-")[-1].upper(), "2"],
        capture_output=True, timeout=900, check=False)
    check.that(done.returncode == 0, "%s: llama-quantize ends with %d", kind, done.returncode)
    return stacks(theirs) if done.returncode == 0 else {}


def main(folder, source, imatrix, *files):
    check = common.Check("llama-quantize")
    for path in files:
        theirs = quantize(check, folder, source, imatrix, path)
        for name, ours in stacks(path).items():
            if name in theirs and check.that(
                ours.tensor_type == theirs[name].tensor_type
                and np.array_equal(ours.data.view(np.uint8), theirs[name].data.view(np.uint8)),
                "%s: %s differs", path, name,
            ):
                check.count("bytes of %s" % ours.tensor_type.name, ours.data.nbytes)
    return check.finish()


common.run(main, "LLAMA_BIN", "BF16", "IMATRIX", "FILE...")
