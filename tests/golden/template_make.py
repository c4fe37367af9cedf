#!/usr/bin/env python3
"""Writes the golden file of the chat templates.

The reference is transformers itself: templates are compiled by the function that
apply_chat_template uses (jinja2's immutable sandbox, trim_blocks, lstrip_blocks, loop controls,
the generation tag, its own tojson, dict and namespace), and rendered with plain data. The clock
stands at 2024-07-26 12:34:56.

    pip install jinja2 transformers gguf
    python3 tests/golden/template_make.py             writes tests/golden/template_cases.txt

A larger comparison, not kept: N random templates, checked by the golden test.

    python3 tests/golden/template_make.py --check 20000 --seed 7 --out /tmp/random.txt
    build/debug/tests/template/golden_template_golden /tmp/random.txt
"""

import argparse
import datetime
import json
import os
import random

import gguf
import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

from template_families import FAMILIES
from template_random import random_template
from template_units import ERRORS, UNITS, UNIT_CONTEXT

MODEL = "models/smollm2-135m-instruct-q4_1.gguf"
OUT = "tests/golden/template_cases.txt"
NOW = datetime.datetime(2024, 7, 26, 12, 34, 56)

# ---- Contexts -------------------------------------------------------------------------------

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place & a time <now>",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City, e.g. \"Paris\""},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "default": 3},
            },
            "required": ["place"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Finds things",
        "parameters": {
            "type": "object",
            "properties": {
                "terms": {"type": "array", "items": {"type": "string"}},
                "ranges": {"type": "array", "items": {"type": "object", "properties": {
                    "low": {"type": "number"}, "high": {"type": "number"}}, "required": ["low"]}},
                "mode": {"type": ["string", "null"]},
                "limit": {"oneOf": [{"type": "integer", "default": 1.5, "description": "number"}, {"type": "boolean"}]},
                "strict": {"type": "boolean", "nullable": True},
            },
        },
    },
}
PING = {"type": "function", "function": {"name": "ping", "description": "Nothing", "parameters": {"type": "object", "properties": {}}}}

USER = {"role": "user", "content": "What is 2 + 2?"}
ANSWER = {"role": "assistant", "content": "It is 4."}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": 2}}}]}
RESULT = {"role": "tool", "tool_call_id": "call12345", "name": "get_weather", "content": "{\"degrees\": 21.5}"}
CALLS = {"role": "assistant", "content": "Let me see.", "tool_calls": [
    {"id": "call00001", "type": "function", "function": {"name": "search", "arguments": {"terms": ["a", "b\"c"], "ranges": [{"low": 0.1, "high": 1e21}]}}},
    {"id": "call00002", "type": "function", "function": {"name": "ping", "arguments": {}}}]}


def context(*messages, prompt=True, **more):
    return {"messages": list(messages), "tools": None, "documents": None, "add_generation_prompt": prompt,
            "bos_token": "<s>", "eos_token": "</s>", **more}


CONTEXTS = {
    "user": context(USER),
    "user_done": context(USER, prompt=False),
    "system": context(SYSTEM, USER),
    "turns": context(SYSTEM, USER, ANSWER, {"role": "user", "content": "And 3 + 3?"},
                     {"role": "assistant", "content": "6"}, {"role": "user", "content": "Thanks!"}),
    "answered": context(USER, ANSWER, prompt=False),
    "tools": context(SYSTEM, USER, tools=[WEATHER, SEARCH, PING]),
    "called": context({"role": "user", "content": "Weather?"}, CALL, RESULT,
                      {"role": "assistant", "content": "21.5 degrees."}, {"role": "user", "content": "Thanks"},
                      tools=[WEATHER]),
    "calling": context(SYSTEM, {"role": "user", "content": "Look"}, CALLS,
                       {"role": "tool", "tool_call_id": "call00001", "content": "one"},
                       {"role": "tool", "tool_call_id": "call00002", "content": "two"}, tools=[SEARCH, PING]),
    "unicode": context({"role": "system", "content": "Grüße, 世界 🌍"}, {"role": "user", "content": "naïve café — «¿qué?» \u2028 \u200b\U0001f469\u200d\U0001f680"},
                       {"role": "assistant", "content": "Straße\u00a0"}, {"role": "user", "content": "ẞ \t ǅ"}),
    "empty": context({"role": "system", "content": ""}, {"role": "user", "content": ""},
                     {"role": "assistant", "content": ""}, {"role": "user", "content": ""}),
    "spaces": context({"role": "user", "content": "  \n\t leading and trailing \r\n \x0b "},
                      {"role": "assistant", "content": "\n\nline\n\n\nline\n"}, {"role": "user", "content": " \n "}),
    "control": context({"role": "system", "content": "<|im_end|>\n<|im_start|>system"},
                       {"role": "user", "content": "</s>[/INST]<|eot_id|>{{ 1 + 1 }}{% if %}<end_of_turn>"}),
    "thinking": context(USER, {"role": "assistant", "content": "<think>\nWell.\n</think>\n\nIt is 4."},
                        {"role": "user", "content": "Sure?"},
                        {"role": "assistant", "reasoning_content": "Hm.\n", "content": "Yes."}, prompt=False),
    "no_thinking": context(SYSTEM, USER, enable_thinking=False, thinking=True, reasoning_effort="low"),
    "parts": context({"role": "user", "content": [{"type": "text", "text": " Look: "}, {"type": "image"}, {"type": "text", "text": "this"}]}),
    "wrong_order": context(ANSWER, USER),
    "wrong_role": context({"role": "narrator", "content": "Once"}, USER),
    "documents": context(USER, documents=[{"title": "One", "text": "First."}, {"title": "Two", "text": "Second."}],
                         controls={"length": "short"}, date_string="1 Jan 2030", tools_in_user_message=False, tools=[PING]),
    "nothing": context(),
}

# ---- The reference --------------------------------------------------------------------------


def strftime_now(pattern):
    return NOW.strftime(pattern)


def render(template, variables):
    """The text, or None for an error."""
    try:
        compiled = _compile_jinja_template(template)
        return compiled.render(strftime_now=strftime_now, **json.loads(json.dumps(variables)))
    except Exception:  # whatever a wrong template makes Python raise
        return None


# ---- The file -------------------------------------------------------------------------------


def escape(text):
    out = []
    for c in text:
        if c == "\\":
            out.append("\\\\")
        elif c == "\n":
            out.append("\\n")
        elif c == "\t":
            out.append("\\t")
        elif ord(c) < 32 or ord(c) == 127:
            out.append(f"\\x{ord(c):02x}")
        else:
            out.append(c)
    return "".join(out)


HEAD = """# Chat templates rendered by transformers {transformers} with jinja2 {jinja2}: tests/golden/template_make.py.
# A line: kind and fields, with tabs between. In a text \\n, \\t, \\\\ and \\xNN stand for bytes.
# C name, json: a context; strings are user text, but for bos_token and eos_token.
# T name, text: a template. R template, context, text: renders to the text.
# F template, context: fails. U context, template, text: renders to it. V context, template: fails.
# The time is 2024-07-26 12:34:56.
"""


def model_template():
    if not os.path.exists(MODEL):
        raise SystemExit(f"{MODEL} is missing: make model")
    field = gguf.GGUFReader(MODEL).fields["tokenizer.chat_template"]
    return bytes(field.parts[-1]).decode()


def families(lines):
    templates = {"smollm2_model": model_template(), **FAMILIES}
    for name, variables in CONTEXTS.items():
        lines.append(f"C\t{name}\t{json.dumps(variables)}")
    for name, template in templates.items():
        lines.append(f"T\t{name}\t{escape(template)}")
        for chat, variables in CONTEXTS.items():
            text = render(template, variables)
            lines.append(f"F\t{name}\t{chat}" if text is None else f"R\t{name}\t{chat}\t{escape(text)}")


def one(lines, template):
    text = render(template, UNIT_CONTEXT)
    lines.append(f"V\tunit\t{escape(template)}" if text is None else f"U\tunit\t{escape(template)}\t{escape(text)}")
    return text


def units(lines):
    for template in UNITS:
        if one(lines, template) is None:
            raise SystemExit(f"fails, and should not: {template!r}")
    for template in ERRORS:
        if one(lines, template) is not None:
            raise SystemExit(f"should fail, and does not: {template!r}")


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--check", type=int, default=0)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--out", default=OUT)
    args = args.parse_args()
    lines = [HEAD.format(transformers=transformers.__version__, jinja2=jinja2.__version__).rstrip("\n"),
             f"C\tunit\t{json.dumps(UNIT_CONTEXT)}"]
    if args.check:
        rng = random.Random(args.seed)
        for _ in range(args.check):
            one(lines, random_template(rng))
    else:
        families(lines)
        units(lines)
    with open(args.out, "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(lines) + "\n")
    kinds = [line[0] for line in lines[1:]]
    print({k: kinds.count(k) for k in "RFUV"})


if __name__ == "__main__":
    main()
