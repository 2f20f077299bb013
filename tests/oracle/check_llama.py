"""check_llama.py LLAMA_BIN EXACT.gguf FILE.gguf... - llama.cpp loads, generates, and agrees.

Each file generates some tokens. Then the logits of the FILEs are held against those of EXACT
on the same text, by llama.cpp's own perplexity tool: each must be near, and the coarser the
further.
"""

import os
import re
import subprocess

import common

TEXT = " ".join("All happy weights are alike; expert %d is unhappy in its own way." % i for i in range(220))


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace",
                          timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def number(pattern, text):
    found = re.search(pattern + r"\s*:?\s*(-?[0-9.]+)", text)
    return float(found.group(1)) if found else None


def main(folder, exact, *files):
    check = common.Check("llama.cpp")
    simple = os.path.join(folder, "llama-simple")
    perplexity = os.path.join(folder, "llama-perplexity")
    with open("text", "w", encoding="utf-8") as f:
        f.write(TEXT)
    for path in (exact, *files):
        code, said = run(simple, "-m", path, "-n", "8", "Hello")
        tokens = number(r"decoded", said)
        if check.that(code == 0 and tokens == 8, "%s: no tokens (status %d)", path, code):
            check.count("tokens generated", 8)
    code, said = run(perplexity, "-m", exact, "-f", "text", "-c", "256", "--kl-divergence-base", "base")
    check.that(code == 0, "%s: no base for the divergence", exact)
    said_of = {}
    for path in files:
        code, said = run(perplexity, "-m", path, "-c", "256", "--kl-divergence-base", "base",
                         "--kl-divergence")
        said_of[path] = number(r"Mean\s+KLD", said)
        if check.that(said_of[path] is not None, "%s: no divergence", path):
            print("     %-12s KL divergence %.6f, same top %.1f %%"
                  % (path, said_of[path], number(r"Same top p:", said)))
            check.that(said_of[path] < 0.1, "%s: far from %s", path, exact)
            check.count("divergences")
    known = [x for x in said_of.values() if x is not None]
    near = all(later > 0.5 * earlier for earlier, later in zip(known, known[1:]))
    check.that(near, "a finer file is further away: %s", said_of)
    return check.finish()


common.run(main, "LLAMA_BIN", "EXACT", "FILE...")
