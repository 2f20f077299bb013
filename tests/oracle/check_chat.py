"""check_chat.py RECAST ROOT - prompts of `recast tokenize --messages --text` against the release's
encoder, on random conversations, and against our own template.

The encoder is not ours to carry: OFFICIAL_ENCODING names the folder that holds encoding_dsv4.py.
Without it only the template is asked. RECAST_ORACLE_SEED and RECAST_ORACLE_TEXTS as in
check_bpe.py."""

import copy
import json
import os
import pathlib
import random
import subprocess
import sys

import check_template
import common

SEED = int(os.environ.get("RECAST_ORACLE_SEED", "1"))
COUNT = int(os.environ.get("RECAST_ORACLE_TEXTS", "4000")) // 4
WORDS = ["Hi", "", " ", "\n\n", "{content}", "%s", "名前", "é\u2028", "</think>", "<｜User｜>", "\"q\"",
         "a\\b", "\t", "🩷", "｜DSML｜", "x" * 50]
TASKS = ["action", "query", "authority", "domain", "title", "read_url"]


class Maker:
    def __init__(self, rng):
        self.rng = rng

    def chance(self, p):
        return self.rng.random() < p

    def text(self, least=0):
        return "".join(self.rng.choice(WORDS) for _ in range(self.rng.randint(least, 4)))

    def number(self):
        rng = self.rng
        return rng.choice([0, 1, -1, 7, 10**20, -5, 0.1, 1.0, -2.5, 1e5, 1e15, 1e16, 1e17, 1.5e300, 1e-4,
                           1e-5, 123456.789, 5e-324, 0.1 + 0.2, rng.random() * 10**rng.randint(-8, 20)])

    def value(self, depth=0):
        kind = self.rng.random()
        if depth < 3 and kind < 0.2:
            return {self.text(1) + str(i): self.value(depth + 1) for i in range(self.rng.randint(0, 3))}
        if depth < 3 and kind < 0.35:
            return [self.value(depth + 1) for _ in range(self.rng.randint(0, 3))]
        if kind < 0.55:
            return self.number()
        if kind < 0.7:
            return self.rng.choice([None, True, False])
        return self.text() + self.rng.choice(["", "\x01", "\x1f\x7f", "\b\f\n\r"])

    def arguments(self):
        kind = self.rng.random()
        if kind < 0.15:
            return self.rng.choice(["", "no JSON", "{", "{\"a\": }", "{'a': 1}", "{} x"])
        made = {self.text(1) + str(i): self.value() for i in range(self.rng.randint(0, 4))}
        return json.dumps(made, ensure_ascii=self.chance(0.5),
                          indent=self.rng.choice([None, None, 2]))

    def tools(self):
        return [{"type": "function", "function": {"name": self.text(1), "parameters": self.value()}}
                for _ in range(self.rng.randint(0, 3))]

    def calls(self, ids):
        made = []
        for _ in range(self.rng.randint(1, 4)):
            call = {"function": {"name": self.text(1), "arguments": self.arguments()}}
            where = self.rng.random()
            if where < 0.8:
                call["id"] = self.rng.choice("abcdef")
                ids.append(call["id"])
            elif where < 0.9:
                call["function"]["id"] = self.rng.choice("abcdef")
                ids.append(call["function"]["id"])
            made.append(call)
        return made

    def message(self, role, ids):
        rng = self.rng
        m = {"role": role, "content": self.text(1 if role == "developer" else 0)}
        if role == "developer" and not m["content"]:
            m["content"] = "D"
        if self.chance(0.1):
            m["task"] = rng.choice(TASKS + [None])
        if role in ("system", "developer"):
            if self.chance(0.15):
                m["tools"] = self.tools()
            if self.chance(0.15):
                m["response_format"] = self.value()
        elif role == "assistant":
            if self.chance(0.5):
                m["reasoning_content"] = rng.choice([self.text(), None])
            if self.chance(0.4):
                m["tool_calls"] = self.calls(ids)
                if self.chance(0.5):
                    m["content"] = None
            if self.chance(0.1):
                m["wo_eos"] = self.chance(0.5)
        elif role == "tool":
            m["tool_call_id"] = rng.choice(ids[-4:] + ["zz"])
            if self.chance(0.2):
                m["content"] = [rng.choice([{"type": "text", "text": self.text()}, {"type": "image"},
                                            {"type": "text"}, {}]) for _ in range(rng.randint(0, 3))]
            if self.chance(0.05):
                del m["content"]
        elif role == "system" and self.chance(0.1):
            m["content"] = None
        return m

    def conversation(self):
        """Mostly as people talk, sometimes in any order."""
        ids, made = [], []
        orderly = self.chance(0.6)
        roles = ["system"] if self.chance(0.6) else []
        if self.chance(0.1):
            roles.append("latest_reminder")
        for _ in range(self.rng.randint(1, 5)):
            if orderly:
                roles += [self.rng.choice(["user", "user", "user", "developer"]), "assistant"]
                roles += ["tool"] * self.rng.choice([0, 0, 1, 2, 3])
            else:
                roles += self.rng.choices(["user", "assistant", "tool", "developer", "latest_reminder",
                                           "system"], [4, 4, 3, 1, 1, 1], k=2)
        if self.chance(0.5):
            roles.append("user")
        for role in roles:
            made.append(self.message(role, ids))
        return made


def ask(program, said, thinking, keep, effort):
    command = [program, "tokenize", "none", "--messages", "-", "--text", "--errors", "json"]
    command += ["--think"] * thinking + ["--keep-reasoning"] * keep
    command += ["--effort", effort] if effort and thinking else []
    done = subprocess.run(command, input=json.dumps(said).encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    return done.stdout.decode() if done.returncode == 0 else "error: " + done.stderr.decode()


def official(check, program, folder):
    sys.path.insert(0, folder)
    from encoding_dsv4 import encode_messages  # pylint: disable=import-outside-toplevel

    maker = Maker(random.Random(SEED))
    for _ in range(COUNT):
        said = maker.conversation()
        thinking, keep = maker.chance(0.6), maker.chance(0.2)
        effort = maker.rng.choice([None, "high", "max"])
        try:
            want = encode_messages(copy.deepcopy(said), "thinking" if thinking else "chat",
                                   drop_thinking=not keep, reasoning_effort=effort)
        except (TypeError, AttributeError, AssertionError, KeyError):
            check.count("not encoded by the release's")
            continue
        got = ask(program, said, thinking, keep, effort)
        check.that(got == want, "%s\n gives %r\n not   %r", json.dumps(said), got, want)
        check.count("conversations as the release's encoder has them")


def ours(check, program, template):
    """The template takes arguments as objects, and asks for an answer only where it is told to."""
    maker = Maker(random.Random(SEED + 1))
    for _ in range(COUNT // 4):
        said = maker.conversation()
        if said[-1]["role"] not in ("user", "tool"):
            said.append({"role": "user", "content": "?"})
        # Around a developer's message that is dropped the template joins two turns of users; the
        # encoder, and recast, do not.
        kept = []
        for m in reversed(said):
            if m["role"] != "developer" or not kept or kept[0]["role"] not in ("user", "tool"):
                kept.insert(0, m)
        said = kept
        for m in said:
            if isinstance(m.get("content"), list):  # Jinja stops at a part without a type
                m["content"] = [part for part in m["content"] if part]
            for call in m.get("tool_calls") or []:
                arguments = {"a": maker.text(), "b": maker.value()} if maker.chance(0.9) else {}
                call["function"]["arguments"] = arguments
                call["id"] = call.get("id") or call["function"].get("id")
        case = {"messages": said}
        if maker.chance(0.3):
            case["tools"] = maker.tools()
        if maker.chance(0.2):
            case["response_format"] = maker.value()
        thinking, keep = maker.chance(0.6), maker.chance(0.2)
        options = {"drop_thinking": not keep, "reasoning_effort": "max" if keep else "high"}
        want = template.render(bos_token=check_template.BOS, thinking=thinking,
                               add_generation_prompt=True, **options, **copy.deepcopy(case))
        got = ask(program, case, thinking, keep, options["reasoning_effort"])
        check.that(got == want, "%s\n gives %r\n not   %r", json.dumps(case), got, want)
        check.count("conversations as our template has them")


def main(program, root):
    check = common.Check("chat")
    folder = os.environ.get("OFFICIAL_ENCODING")
    if folder:
        official(check, program, folder)
    else:
        print("     no OFFICIAL_ENCODING: the release's encoder is not asked")
    ours(check, program, check_template.load(pathlib.Path(root)))
    return check.finish()


if __name__ == "__main__":
    common.run(main, "RECAST", "ROOT")
