"""check_tokenizer.py CHECKPOINT... - the tokenizer of a synthetic checkpoint, in the library
that reads those of real ones: every id, every merge, and text there and back."""

import json
import os

from tokenizers import Tokenizer

import common

TEXTS = [
    "Hello, world! Don't panic: it's 12345 > 678.90 (100%).",
    "  two  spaces,\ttab\r\n\n\nand lines   \n",
    "static int f(const char *s)\n{\n    return s ? s[0] : -1;\n}\n",
    "模型读入文字，也写出文字。カタカナとひらがな。한국어 글.",
    "Ünïcödé über naïve Größe — „so“, « ainsi » … 🚀👩‍🚀",
    "<｜User｜>Hi<｜Assistant｜><think>why?</think>because<｜end▁of▁sentence｜>",
    "".join(map(chr, list(range(1, 0x180)) + [0x2028, 0xfeff, 0x10ffff])),
]
# Cuts that follow from the definition (of the pre-tokenizer, so in any vocabulary).
PIECES = {
    "1234": ["123", "4"],
    "don't": ["don", "'t"],
    "a  b": ["a", "Ġ", "Ġb"],
    "a  1": ["a", "ĠĠ", "1"],
    "!!hello": ["!!", "hello"],
    "a.b.c": ["a", ".b", ".c"],
    ">;\n": [">;Ċ"],
}


def one(check, path):
    with open(os.path.join(path, "tokenizer.json"), encoding="utf-8") as f:
        text = f.read()
    said = json.loads(text)
    tokenizer = Tokenizer.from_str(text)
    vocab = dict(said["model"]["vocab"])
    vocab.update((t["content"], t["id"]) for t in said["added_tokens"])
    check.that(tokenizer.get_vocab() == vocab, "%s: other ids than the file's", path)
    check.count("tokens", len(vocab))
    check.count("merges", len(said["model"]["merges"]))
    for text in TEXTS:
        back = tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False)
        check.that(back == text, "%s: %r comes back as %r", path, text, back)
        check.count("texts")
    for text, pieces in PIECES.items():
        got = [p for p, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        check.that(got == pieces, "%s: %r is cut into %s", path, text, got)
        check.count("cuts")
    chat = tokenizer.encode("<｜begin▁of▁sentence｜><｜User｜><｜Assistant｜></think>｜DSML｜")
    check.that(len(chat.ids) == 5, "%s: markers are cut: %s", path, chat.tokens)


def main(*paths):
    check = common.Check("tokenizer " + " ".join(paths))
    for path in paths:
        one(check, path)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "CHECKPOINT")
