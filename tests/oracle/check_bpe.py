"""check_bpe.py RECAST TOKENIZER.JSON - ids of `recast tokenize` against the tokenizers library,
and bytes back; of any vocabulary with DeepSeek-V4's pre-tokenizer.

Many texts go in one call: an added token between them, which both match first, cuts everything
else. RECAST_ORACLE_SEED and RECAST_ORACLE_TEXTS change what is tried and how much."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time

from tokenizers import Tokenizer

import common

SEED = int(os.environ.get("RECAST_ORACLE_SEED", "1"))
TEXTS = int(os.environ.get("RECAST_ORACLE_TEXTS", "4000"))
BETWEEN = "<｜begin▁of▁sentence｜>"

HAND_MADE = [
    "", "a", "1234", "don't", "a  b", "a  1", "!!hello", "a.b.c", ">;\n", " \n \n  x", "\r\n\r\n",
    "Hello, world! Don't panic: it's 12345 > 678.90 (100%).",
    "  two  spaces,\ttab\r\n\n\nand lines   \n",
    "static int f(const char *s)\n{\n    return s ? s[0] : -1;\n}\n",
    "模型读入文字，也写出文字。カタカナとひらがな・ー゛。한국어 글. 龥龦",
    "Ünïcödé über naïve Größe — „so“, « ainsi » … 🚀👩‍🚀🩷🫨",
    "Привет, мир! Γειά σου Κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया। สวัสดีชาวโลก",
    "x̀́̂ e\u0301 \u200b\u200d\ufeff \u00a0\u3000\u2003\u180e\u2028\u0085 ½²Ⅷ٣४",
    "<｜User｜>Hi<｜Assistant｜><think>why?</think>because<｜end▁of▁sentence｜>",
    "<｜User<｜User｜>｜> <think ><think></think>｜DSML｜tool_calls> <｜▁pad▁｜>",
]
RUNS = ["a", " ", "\n", "!", "1", "é", "的", "ab", " a", "\u0301", "の", "-=", "\t ", "x\n", "🚀"]
CODE = ("for (int i = 0; i < n; i++) {\n\tsum += v[i]*2;\n}\n// ``` $x ≠ y\n"
        "def f(x: str) -> None:\n    print(f'{x!r}')\r\n<div class=\"a-b\">&amp;</div>")


def alphabets():
    """Characters that go together, each a list to draw from."""
    def span(first, last):
        return [chr(c) for c in range(first, last + 1)]

    return [
        span(0x20, 0x7e), span(0, 0xff), list("ab12 \n\r\t.,'\"!"), span(0x370, 0x52f),
        span(0x590, 0x6ff), span(0x900, 0xdff), span(0xe00, 0xfff), span(0x1100, 0x11ff),
        span(0x2000, 0x2bff), span(0x3000, 0x30ff) + list("一丁龥龦"), span(0x4e00, 0x5fff),
        span(0xac00, 0xaeff), span(0xfe00, 0xffef), span(0x1f300, 0x1faff), list(CODE),
        [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000],
        list("\t\n\v\f\r\x1c\x85\xa0\u1680\u180e\u2000\u200b\u2028\u202f\u205f\u3000 ax1!的"),
    ]


def random_texts(rng, count, words):
    sets = alphabets()
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 8)):
            kind = rng.random()
            if kind < 0.6:
                chars = rng.choice(sets)
                parts.append("".join(rng.choices(chars, k=rng.randint(1, 30))))
            elif kind < 0.8:
                parts.append(rng.choice(RUNS) * rng.randint(1, 60))
            else:
                parts.append(rng.choice(words))
        yield "".join(parts)


def every_character():
    """Where the class of a character can matter: all that are assigned, or may soon be."""
    at = [c for c in range(0x40000) if not 0xd800 <= c < 0xe000] + list(range(0xe0000, 0xe0200))
    for first in range(0, len(at), 64):
        yield "".join("a%c %cb1%c!" % ((c,) * 3) for c in at[first:first + 64])


def from_bytes(rng, count):
    for _ in range(count):
        raw = bytes(rng.choices(range(256), k=rng.randint(1, 200)))
        yield raw.decode("utf-8", errors="replace")


def recast(program, tokenizer, data):
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        began = time.time()
        out = subprocess.run([program, "tokenize", tokenizer, "-f", f.name, "--json"], check=True,
                             stdout=subprocess.PIPE).stdout
    return json.loads(out)["ids"], time.time() - began


def back(program, tokenizer, ids):
    return subprocess.run([program, "tokenize", tokenizer, "--ids", "-"], check=True,
                          input=",".join(map(str, ids)).encode(), stdout=subprocess.PIPE).stdout


def compare(check, program, path, library, title, texts):
    texts = [t for t in texts if BETWEEN not in t]
    data = BETWEEN.join(texts).encode()
    ids, seconds = recast(program, path, data)
    mark = library.token_to_id(BETWEEN)
    got, one = [], []
    for i in ids:
        if i == mark:
            got.append(one)
            one = []
        else:
            one.append(i)
    got.append(one)
    if not check.that(len(got) == len(texts), "%s: %d texts come back as %d", title, len(texts),
                      len(got)):
        return
    began = time.time()
    wanted = [library.encode(t, add_special_tokens=False).ids for t in texts]
    library_seconds = time.time() - began
    for text, a, b in zip(texts, got, wanted):
        check.that(a == b, "%s: %r is %r, not %r", title, text[:200], a[:60], b[:60])
    check.that(back(program, path, ids) == data, "%s: other bytes come back", title)
    check.count("texts", len(texts))
    check.count("ids", len(ids))
    print("     %-16s %7.2f MB: recast %.2f s, loading it included; tokenizers %.2f s" %
          (title, len(data) / 1e6, seconds, library_seconds))
    sys.stdout.flush()


def broken(check, program, path, rng):
    """No UTF-8: the library is not asked, but nothing may get lost."""
    raw = bytes(rng.choices(range(256), k=200000)) + b"\xf0\x9f<think>\xed\xa0\x80\xff\xc3"
    ids, _ = recast(program, path, raw)
    check.that(back(program, path, ids) == raw, "bytes that are no UTF-8 come back otherwise")
    check.count("broken bytes", len(raw))


def main(program, path):
    check = common.Check("tokenize")
    rng = random.Random(SEED)
    with open(path, encoding="utf-8") as f:
        said = json.load(f)
    library = Tokenizer.from_file(path)
    added = [t["content"] for t in said["added_tokens"]]
    words = added + [w for w in HAND_MADE if w] + [CODE]
    compare(check, program, path, library, "hand-made", HAND_MADE + added)
    compare(check, program, path, library, "random", list(random_texts(rng, TEXTS, words)))
    compare(check, program, path, library, "random bytes", list(from_bytes(rng, TEXTS)))
    compare(check, program, path, library, "every character", list(every_character()))
    compare(check, program, path, library, "long runs", [r * 20000 for r in RUNS])
    letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=1 << 20))
    compare(check, program, path, library, "1 MB of letters", [letters])
    source = os.path.dirname(os.path.realpath(__file__))
    files = []
    for folder, _, names in os.walk(os.path.join(source, "..", "..")):
        if "build" not in folder.split(os.sep):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".md", ".py", ".sh", ".jinja")):
                    with open(os.path.join(folder, name), encoding="utf-8") as f:
                        files.append(f.read())
    compare(check, program, path, library, "this project", files)
    broken(check, program, path, rng)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "RECAST", "TOKENIZER.JSON")
