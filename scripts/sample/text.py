"""The text of the sample: chapters, a tokenizer made from them, batches of tokens."""
import json
import re

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import ByteLevel

FIRST = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
BOS, EOS = 0, 1
LAST = [  # those that a chat needs, in the order of the releases
    "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>", "<｜User｜>", "<｜Assistant｜>", "<|EOT|>",
    "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>",
    "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>", "<｜tool▁sep｜>", "<think>", "</think>",
    "｜DSML｜", "<｜latest_reminder｜>", "<｜action｜>", "<｜query｜>", "<｜authority｜>",
    "<｜domain｜>", "<｜title｜>", "<｜read_url｜>",
]
SPLITS = [  # the pre-tokenizer of the releases
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]
HELD_OUT = 100  # one chapter of so many is kept for measuring


def chapters(path):
    """Lines such as `Ge1:1 In the beginning ...` -> a text for each chapter, a line a verse."""
    found = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"(\w+?\d+):\d+ (.*)", line.rstrip())
            if m:
                found.setdefault(m[1], []).append(m[2])
    return ["\n".join(verses) + "\n" for verses in found.values()]


def split(texts):
    """-> (to learn from, held out)"""
    held = texts[HELD_OUT // 2::HELD_OUT]
    return [t for i, t in enumerate(texts) if i % HELD_OUT != HELD_OUT // 2], held


def make_tokenizer(texts, vocab):
    """Byte-level BPE with everything around it as in the releases' file."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([])
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(s), "isolated") for s in SPLITS]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.post_processor = ByteLevel(trim_offsets=False)
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab - len(LAST), special_tokens=FIRST, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.add_tokens(LAST)
    assert t.get_vocab_size() == vocab, "the text is too short for the vocabulary"
    return t


def tokenizer_config(length):
    def token(text):
        return {"__type": "AddedToken", "content": text, "lstrip": False, "normalized": True,
                "rstrip": False, "single_word": False}
    return json.dumps({
        "add_bos_token": False, "add_eos_token": False, "bos_token": token(FIRST[0]),
        "clean_up_tokenization_spaces": False, "eos_token": token(FIRST[1]), "legacy": True,
        "model_max_length": length, "pad_token": token(FIRST[1]), "sp_model_kwargs": {},
        "unk_token": None, "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2) + "\n"


class Batches:
    """Random pieces of the text, each after a BOS and from the beginning of a verse."""

    def __init__(self, tokenizer, texts):
        ids, starts = [], []
        for text in texts:
            for line in text.splitlines(keepends=True):
                starts.append(len(ids))
                ids += tokenizer.encode(line, add_special_tokens=False).ids
            ids += [EOS, BOS]
        self.ids, self.starts = torch.tensor(ids), torch.tensor(starts)

    def get(self, rows, length, generator):
        """[rows, length] tokens"""
        usable = self.starts[self.starts + length < len(self.ids)]
        at = usable[torch.randint(len(usable), (rows,), generator=generator)]
        t = self.ids[at[:, None] + torch.arange(length) - 1]
        t[:, 0] = BOS
        return t


def documents(tokenizer, texts):
    return [torch.tensor([BOS] + tokenizer.encode(t, add_special_tokens=False).ids + [EOS])
            for t in texts]
