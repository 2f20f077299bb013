"""check_template.py ROOT - our chat template against the official cases of the encoding.

Jinja is set up as transformers does it: a sandbox, JSON without escapes, no sorted keys."""
import json
import pathlib

from jinja2.sandbox import ImmutableSandboxedEnvironment

import common

BOS = "<｜begin▁of▁sentence｜>"
USER, ASSISTANT, EOS = "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"
THINKING = {1: True, 2: True, 3: True, 4: False}


def load(root):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return env.from_string((root / "formats/chat_template.jinja").read_text("utf-8"))


def objects(messages):
    """Arguments of calls as objects: what programs that use templates make of them."""
    for message in messages:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def official(check, template, cases):
    for i, thinking in THINKING.items():
        case = json.loads((cases / f"test_input_{i}.json").read_text("utf-8"))
        want = (cases / f"test_output_{i}.txt").read_text("utf-8")
        case = case if isinstance(case, dict) else {"messages": case}
        got = template.render(bos_token=BOS, thinking=thinking,
                              messages=objects(case.pop("messages")), **case)
        check.that(got == want, "case %d of the encoding renders %r", i, got)
        check.count("official cases")


def ours(check, template):
    """What the four leave out; the texts are those of the official encoder."""
    def text(messages, **options):
        return template.render(bos_token=BOS, messages=messages, add_generation_prompt=True,
                               **options)

    def require(holds, what):
        check.that(holds, "%s renders otherwise", what)
        check.count("cases of ours")

    hi = [{"role": "user", "content": "Hi"}]
    require(text(hi) == BOS + USER + "Hi" + ASSISTANT + "</think>", "the least prompt")
    require(text([{"role": "system", "content": "S"}] + hi, enable_thinking=True)
            == BOS + "S" + USER + "Hi" + ASSISTANT + "<think>", "a system message, thinking")
    require(text(hi + hi) == BOS + USER + "Hi\n\nHi" + ASSISTANT + "</think>", "two in a row")
    effort = text(hi, thinking=True, reasoning_effort="max")
    require(effort.startswith(BOS + "Reasoning Effort: ") and
            len(effort.removeprefix(BOS).partition(USER)[0].encode()) == 476, "effort")
    require(text(hi, thinking=True, reasoning_effort="high") == text(hi, thinking=True), "high")

    calls = [{"id": i, "function": {"name": "f", "arguments": a}}
             for i, a in (("a", {"x": [1, {"y": None}]}), ("b", {}), ("c", "no JSON"))]
    got = text(hi + [{"role": "assistant", "content": None, "tool_calls": calls}] +
               [{"role": "tool", "tool_call_id": i, "content": i.upper()} for i in "cab"])
    dsml = "｜DSML｜"
    end = f"</{dsml}parameter>\n</{dsml}invoke>\n"
    require(got == BOS + USER + "Hi" + ASSISTANT + f"</think>\n\n<{dsml}tool_calls>\n"
            f'<{dsml}invoke name="f">\n<{dsml}parameter name="x" string="false">'
            f'[1, {{"y": null}}]{end}'
            f'<{dsml}invoke name="f">\n\n</{dsml}invoke>\n'
            f'<{dsml}invoke name="f">\n<{dsml}parameter name="arguments" string="true">'
            f"no JSON{end}</{dsml}tool_calls>" + EOS + USER +
            "\n\n".join(f"<tool_result>{i}</tool_result>" for i in "ABC") + ASSISTANT + "</think>",
            "results in the order of their calls")


def main(root):
    check = common.Check("chat template")
    template = load(pathlib.Path(root))
    official(check, template, pathlib.Path(root) / "tests/data/encoding")
    ours(check, template)
    return check.finish()


if __name__ == "__main__":
    common.run(main, "ROOT")
