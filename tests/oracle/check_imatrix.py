"""check_imatrix.py RECAST MODEL MODEL.gguf TEXT [LLAMA_BIN] - statistics of recast calibrate.

gguf-py reads the file and finds every entry's matrix in MODEL.gguf (BF16, without draft) with its
columns; the legacy .dat, read here by its description, has the same means. With LLAMA_BIN llama.cpp's
quantizer takes both files without a complaint about their sizes, and its own imatrix tool, on the
same tokens, gets nearly the same mean squares.

Not compared with llama-imatrix: the down projections of routed experts (it looks at them before the
routing weight, we and ds4 after), attn_output_a (it counts each group of heads as a matrix, which its
quantizer then cannot use), what has no place in its graph.
"""

import os
import struct
import subprocess

import gguf
import numpy as np

import common

CTX = 512


def load(path):
    return {t.name: np.array(t.data, dtype=np.float64) for t in gguf.GGUFReader(path).tensors}


def means(tensors, name):
    sums, counts = tensors[name + ".in_sum2"], tensors[name + ".counts"].ravel()
    return sums.reshape(counts.size, -1) / np.maximum(counts, 1)[:, None]


def entries(tensors):
    return sorted(n[: -len(".in_sum2")] for n in tensors if n.endswith(".in_sum2"))


def read_dat(path):
    with open(path, "rb") as f:
        data = f.read()
    at, found = 4, {}
    for _ in range(struct.unpack_from("<i", data)[0]):
        n = struct.unpack_from("<i", data, at)[0]
        name = data[at + 4 : at + 4 + n].decode()
        calls, values = struct.unpack_from("<ii", data, at + 4 + n)
        at += 12 + n
        found[name] = np.frombuffer(data, "<f4", values, at).astype(np.float64) / calls
        at += 4 * values
    chunks, n = struct.unpack_from("<ii", data, at)
    return found, chunks, data[at + 8 : at + 8 + n].decode(), len(data) - at - 8 - n


def check_file(check, ours, model, draft_block):
    shapes = {t.name: [int(n) for n in t.shape] for t in gguf.GGUFReader(model).tensors}
    for name in entries(ours):
        mean = means(ours, name)
        check.that(np.all(np.isfinite(mean)) and np.all(mean >= 0), "%s: no mean square", name)
        check.count("entries")
        if name.startswith("blk.%d." % draft_block):
            continue
        if check.that(name in shapes, "%s: no such matrix", name):
            ne = shapes[name] + [1, 1]
            check.that(mean.shape == (ne[2], ne[0]), "%s: %s for a matrix %s", name, mean.shape, ne)
    for name in ours:
        base = name[: -len(".in_abs")]
        if name.endswith(".in_abs"):
            n = np.maximum(ours[base + ".counts"].ravel(), 1)[:, None]
            # the mean of |x| is at most the root of the mean square
            small = ours[name].reshape(n.size, -1) / n <= np.sqrt(means(ours, base)) * (1 + 1e-5) + 1e-12
            check.that(np.all(small), "%s: larger than the root of the mean square", name)
            check.count("sums of |x|")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def check_llama(check, folder, model, ours, text):
    for path in ("stats.gguf", "stats.dat"):
        code, said = run(os.path.join(folder, "llama-quantize"), "--imatrix", path, model, "q.gguf", "Q4_K_M")
        check.that(code == 0 and "size mismatch" not in said, "llama-quantize refuses %s", path)
        check.that("%d importance matrix entries" % len(entries(ours)) in said, "%s: entries are lost", path)
        check.count("files taken by llama-quantize")
    tool = os.path.join(folder, "llama-imatrix")
    if not os.path.exists(tool):
        return
    code, said = run(tool, "-m", model, "-f", text, "-c", str(CTX), "--process-output", "-o", "theirs.gguf")
    if not check.that(code == 0, "llama-imatrix: %s", said[-200:]):
        return
    theirs = load("theirs.gguf")
    for name in entries(theirs):
        if "ffn_down_exps" in name or "attn_output_a" in name or ".hc_" in name:
            continue
        a, b = means(ours, name), means(theirs, name)
        far = np.abs(a - b) / np.maximum(b, 1e-9)
        check.that(np.median(far) < 0.01, "%s: median distance %.2g", name, np.median(far))
        check.count("entries as llama-imatrix has them")


def main(recast, model, exact, text, llama=""):
    check = common.Check("calibrate")
    code, said = run(recast, "tokenize", model, "-f", text)
    ids = [int(x) for x in said.replace(",", " ").split() if x.isdigit()]
    ids = ids[: len(ids) // CTX * CTX]  # llama.cpp leaves the rest out
    with open("ids", "w", encoding="ascii") as f:
        f.write(",".join(map(str, ids)))
    code, said = run(recast, "calibrate", model, "--tokens", "ids", "--ctx", str(CTX), "--numerics", "f32",
                     "-o", "stats.gguf", "--dat", "stats.dat", "--force", "--quiet")
    if not check.that(code == 0, "recast calibrate: %s", said):
        return check.finish()
    ours = load("stats.gguf")
    layers = [int(n.split(".")[1]) for n in ours if n.startswith("blk.")]
    check_file(check, ours, exact, max(layers))
    dat, chunks, name, rest = read_dat("stats.dat")
    check.that(chunks == len(ids) // CTX and name == "ids" and rest == 0, "the tail of the .dat")
    check.that(sorted(dat) == entries(ours), "the .dat has other entries")
    for entry, values in dat.items():
        check.that(np.allclose(values, means(ours, entry).ravel(), rtol=1e-6), "%s: other means in the .dat", entry)
        check.count("entries of the .dat")
    if llama:
        check_llama(check, llama, exact, ours, text)
    return check.finish()


common.run(main, "RECAST", "MODEL", "MODEL.gguf", "TEXT")
