#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets: OUT/TARGET/NAME, small files made of what tests/golden
holds and of models built here.

usage: seeds.py OUT
"""

import json
import re
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)


def unescape(text):
    def one(match):
        what = match[1]
        if len(what) == 3:
            return bytes([int(what[1:], 16)])
        return {b"n": b"\n", b"t": b"\t"}.get(what, what)

    return ESCAPE.sub(one, text)


def golden_lines(name):
    for line in (GOLDEN / name).read_bytes().split(b"\n"):
        if line and not line.startswith(b"#"):
            yield line.split(b"\t")


# ---- template ----


# What the golden cases leave out.
TEMPLATES = [
    """{{ '{"a": [1, -2.5e3, true, null, "\\\\u00e9\\\\n", {}]}'|from_json }}{{ s|from_json }}""",
    "{{ tools|tojson|from_json }}{{ '[[[1]]]'|from_json|first }}{{ ' 12 '|from_json }}",
    "{% set c = cycler(1, s) %}{{ c.next() }}{{ c.current }}{{ c.reset() }}",
    "{% for x in s %}{{ loop.revindex0 }}{{ loop.depth }}{{ loop.cycle(1, x) }}{% endfor %}",
    "{% for a in range(1000) %}" * 4 + "{{ loop.index0 }}" + "{% endfor %}" * 4,
    "{% macro f(n) %}{% if n %}{{ f(n - 1) ~ f(n - 1) }}{% endif %}{% endmacro %}{{ f(99)|length }}",
    "{{ s.index(',') }}{{ s.lower().isupper() }}{{ s.removesuffix('x') }}{{ s.rindex(' ') }}",
]


def template_seeds():
    for text in TEMPLATES:
        yield text.encode()
    contexts = {}
    for kind, *fields in golden_lines("template_cases.txt"):
        if kind == b"C":
            contexts[fields[0]] = fields[1]
        elif kind == b"T":
            yield unescape(fields[1]) + b"\xff" + contexts[b"calling"]
        elif kind in (b"U", b"V"):
            yield unescape(fields[1])
    for context in contexts.values():
        yield b"{{ messages }}{{ tools|tojson(indent=1) }}\xff" + context


# ---- tokenizer, split ----

FAMILIES = 16  # of tokenizer_fuzz.c
SPLIT_FAMILIES = 17  # of split_fuzz.c
SPM, BASE, PREFIX, MARKS, TRUSTED = 1, 2, 4, 8, 32
REPEAT = 0xA0  # in the byte of the family


def short(text):
    return bytes([len(text)]) + text


def vocabulary(name):
    """Tokens (type, score, text), merges and case texts of a golden file."""
    tokens, merges, texts = [], [], []
    for line in golden_lines(name):
        fields = [unescape(field) for field in line]
        if fields[0] == b"m" and len(fields[1]) < 20:
            merges.append(fields[1])
            tokens.append((1, 0, fields[1].replace(b" ", b"", 1)))
        elif fields[0] == b"t" and len(fields[3]) < 40:
            tokens.append((int(fields[1]), int(float(fields[2])), fields[3]))
        elif fields[0] in (b"P", b"T"):
            texts.append(fields[1])
    return tokens, merges, texts


def vocabulary_seed(flags, family, tokens, merges, text):
    out = bytes([flags, family, len(tokens)])
    for kind, score, token in tokens:
        out += bytes([kind, max(score, -128) & 255]) + short(token)
    return out + bytes([len(merges)]) + b"".join(map(short, merges)) + text


def tokenizer_seeds():
    tokens, merges, texts = vocabulary("tokenizer_family_qwen2.txt")
    unique = list({token: (kind, score, token) for kind, score, token in tokens}.values())
    added = [token for token in unique if token[0] != 1]
    made = {left.replace(b" ", b"", 1) for left in merges[:40]}
    tokens = [token for token in unique if token[2] in made] + added[:8]
    for number, text in enumerate(texts[::6]):
        flags = BASE | (MARKS | TRUSTED if number % 3 == 0 else 0)
        yield vocabulary_seed(flags, number % FAMILIES, tokens, merges[:40], text[:400])
    yield vocabulary_seed(BASE, REPEAT | 3, tokens, merges[:40], b"the the\xcc\x81\n")
    for name, prefix in (("tokenizer_spm_llama.txt", PREFIX), ("tokenizer_spm_phrases.txt", 0)):
        tokens, merges, texts = vocabulary(name)
        for number, text in enumerate(texts[::8]):
            flags = SPM | prefix | (BASE if number % 2 else 0) | (MARKS if number % 3 else 0)
            yield vocabulary_seed(flags, 0, tokens[:7] + tokens[-60:], [], text[:400])
        yield vocabulary_seed(SPM, REPEAT, tokens[-60:], [], b"the the\xcc\x81\n")


# To be repeated: runs of one kind of character, and all kinds at once.
LONG = ["a's 12\r\n  \u0301\u4e2d!", "a", "A", "aA", " ", "\t\n", "1", "'", "!", "\u4e2d",
        "\u0301\u0327", "\u1100\u1161"]


def split_seeds():
    texts = vocabulary("tokenizer_family_kimi-k2.txt")[2]
    for number, text in enumerate(texts[::2]):
        yield bytes([number % SPLIT_FAMILIES, 0]) + text[:1000]
    for family in range(SPLIT_FAMILIES):
        for text in LONG:
            yield bytes([family, 0xAA]) + text.encode()


# ---- gguf ----

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
FORMS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<B"}
BLOCKS = {"f32": (0, 1, 4), "f16": (1, 1, 2), "q8_0": (8, 32, 34), "q4_1": (3, 32, 20)}
WIDTH, FFN, HEADS, KV_HEADS = 32, 32, 2, 1


def gguf_value(kind, value):
    if kind == STRING:
        value = value.encode() if isinstance(value, str) else value
        return struct.pack("<Q", len(value)) + value
    return struct.pack(FORMS[kind], value)


def gguf_key(name, kind, value):
    out = gguf_value(STRING, name)
    if isinstance(value, list):
        items = b"".join(gguf_value(kind, item) for item in value)
        return out + struct.pack("<IIQ", ARRAY, kind, len(value)) + items
    return out + struct.pack("<I", kind) + gguf_value(kind, value)


def gguf_file(keys, tensors):
    infos, data = b"", b""
    for name, kind, dims in tensors:
        number, per_block, block_bytes = BLOCKS[kind]
        count = 1
        for dim in dims:
            count *= dim
        data += bytes(-len(data) % 32)
        infos += gguf_value(STRING, name) + struct.pack("<I", len(dims))
        infos += struct.pack(f"<{len(dims)}QIQ", *dims, number, len(data))
        data += bytes(count // per_block * block_bytes)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    head += b"".join(gguf_key(*key) for key in keys) + infos
    return head + bytes(-len(head) % 32) + data


def model_keys(arch, layers):
    wholes = {"block_count": layers, "context_length": 64, "embedding_length": WIDTH,
              "feed_forward_length": FFN, "attention.head_count": HEADS,
              "attention.head_count_kv": KV_HEADS}
    yield "general.architecture", STRING, arch
    for name, value in wholes.items():
        yield f"{arch}.{name}", U32, value
    yield f"{arch}.attention.layer_norm_rms_epsilon", F32, 1e-5
    if arch == "llama":
        yield "llama.rope.scaling.type", STRING, "yarn"
        yield "llama.rope.scaling.factor", F32, 4
    if arch == "gemma3":
        yield "gemma3.attention.sliding_window", U32, 16
        yield "gemma3.attention.sliding_window_pattern", U32, 2


def model_tensors(arch, layers, vocab, kind):
    head = WIDTH // HEADS
    kv = KV_HEADS * head
    yield "token_embd.weight", kind, [WIDTH, vocab]
    yield "output_norm.weight", "f32", [WIDTH]
    for layer in range(layers):
        blk = f"blk.{layer}."
        yield blk + "attn_norm.weight", "f32", [WIDTH]
        yield blk + "attn_q.weight", kind, [WIDTH, WIDTH]
        yield blk + "attn_k.weight", kind, [WIDTH, kv]
        yield blk + "attn_v.weight", kind, [WIDTH, kv]
        yield blk + "attn_output.weight", kind, [WIDTH, WIDTH]
        yield blk + "ffn_norm.weight", "f32", [WIDTH]
        yield blk + "ffn_gate.weight", kind, [WIDTH, FFN]
        yield blk + "ffn_up.weight", kind, [WIDTH, FFN]
        yield blk + "ffn_down.weight", kind, [FFN, WIDTH]
        if arch == "qwen2":
            yield blk + "attn_q.bias", "f32", [WIDTH]
            yield blk + "attn_k.bias", "f32", [kv]
            yield blk + "attn_v.bias", "f32", [kv]
        if arch in ("qwen3", "gemma3"):
            yield blk + "attn_q_norm.weight", "f32", [head]
            yield blk + "attn_k_norm.weight", "f32", [head]
        if arch == "gemma3":
            yield blk + "post_attention_norm.weight", "f32", [WIDTH]
            yield blk + "post_ffw_norm.weight", "f32", [WIDTH]


def model_vocabulary(spm):
    texts = ["<unk>", "<s>", "</s>", "\u2581", "t", "h", "e", "\u2581t", "he", "\u2581the"]
    if not spm:
        texts = [text.replace("\u2581", "\u0120") for text in texts]
    yield "tokenizer.ggml.model", STRING, "llama" if spm else "gpt2"
    yield "tokenizer.ggml.tokens", STRING, texts
    yield "tokenizer.ggml.token_type", I32, [2, 3, 3] + [1] * (len(texts) - 3)
    yield "tokenizer.ggml.eos_token_id", U32, 2
    yield "tokenizer.ggml.eot_token_id", U32, len(texts) - 1
    if spm:
        yield "tokenizer.ggml.scores", F32, [-float(i) for i in range(len(texts))]
        yield "tokenizer.ggml.add_space_prefix", BOOL, 1
    else:
        yield "tokenizer.ggml.pre", STRING, "smollm"
        yield "tokenizer.ggml.merges", STRING, ["h e", "\u0120 t", "\u0120t he"]
    yield "tokenizer.chat_template", STRING, "{% for m in messages %}{{ m.content }}{% endfor %}"


def gguf_seeds():
    for arch in ("llama", "qwen2", "qwen3", "gemma3"):
        for number, kind in enumerate(BLOCKS):
            layers = 1 + number % 2
            keys = [*model_keys(arch, layers), *model_vocabulary(number % 2)]
            yield gguf_file(keys, list(model_tensors(arch, layers, 10, kind)))
    keys = [*model_keys("llama", 1), *model_vocabulary(True)]
    tensors = list(model_tensors("llama", 1, 10, "q8_0"))
    parts = []
    for number, own in enumerate((tensors[:4], tensors[4:7], tensors[7:])):
        split = [("split.no", U32, number), ("split.count", U32, 3),
                 ("split.tensors.count", I32, len(tensors))]
        part = gguf_file((keys if number == 0 else []) + split, own)
        parts.append(part + bytes(-len(part) % 32))
    yield b"".join(parts)


# ---- request ----

MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi \u00e9"},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}], "name": "n"},
            {"role": "tool", "content": "t", "tool_call_id": "c"}]
FIELDS = [
    {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": 7},
    {"stop": ["\n", "ab"], "stop_token_ids": [1, 2], "min_tokens": 1, "ignore_eos": True},
    {"logit_bias": {"5": -100, "6": 1.5}, "n": 3, "stream": True,
     "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    {"presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.1, "repeat_last_n": 64},
    {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": -1,
     "dry_sequence_breakers": ["\n", ":"]},
    {"mirostat": 2, "mirostat_tau": 5, "mirostat_eta": 0.1, "typical_p": 0.9, "top_n_sigma": 1},
    {"xtc_probability": 0.5, "xtc_threshold": 0.1, "return_token_ids": True, "cache_salt": "x",
     "include_stop_str_in_output": True, "model": "m", "user": "u", "unknown": [1, {"a": None}]},
]
CHAT_FIELDS = [
    {"chat_template_kwargs": {"x": [1, {"y": None}], "y": "z"}, "enable_thinking": False},
    {"reasoning_effort": "low", "thinking": True, "max_completion_tokens": 9, "tools": []},
    {"logprobs": True, "top_logprobs": 5, "stream": True},
    {"tool_choice": "none", "response_format": {"type": "text"}, "modalities": ["text"]},
]
COMPLETION_FIELDS = [
    {"prompt": [[1, 2], [3]], "echo": True, "logprobs": 2, "max_tokens": 0},
    {"prompt": ["a", "b"], "best_of": 3, "n": 2},
    {"prompt": [1, 2, 3], "suffix": None, "parse_special": False},
]
TOKENIZE = [
    {"prompt": "a <s> b", "add_special_tokens": True, "with_pieces": True, "parse_special": False},
    {"content": "x\u0000y", "add_special": False},
    {"messages": MESSAGES, "add_generation_prompt": True},
]


def request_seeds():
    bodies = [(0, {"messages": MESSAGES, **more}) for more in FIELDS + CHAT_FIELDS]
    bodies += [(1, {"prompt": "<|im_start|> a", **more}) for more in FIELDS + COMPLETION_FIELDS]
    bodies += [(2, body) for body in TOKENIZE]
    bodies += [(3, {"tokens": [104, 105, 195, 257]}), (3, {"tokens": list(range(259))}), (4, TOKENIZE[2])]
    for route, body in bodies:
        for model in range(2):
            yield bytes([route, model]) + json.dumps(body).encode()


# ---- config ----

KEYS = b"\xff"  # of config_fuzz.c
# What the defaults leave out.
CONFIGS = [
    "server: { host: [127.0.0.1, 'unix:/run/v'], tls: { cert: /c, key: /k } }\n# x\nlog: {format: json}",
    'models:\n  - path: "/m.gguf"\n    aliases: [a, b]\n    params: {max_num_seqs: "${A}", mem: 512MiB}\n'
    "    pool: { timeout_secs: 1.5, classes: { low: { max_queue_depth: 3 } } }\nmodel_defaults: {}\n",
    "auth:\n  api_key: |\n    key-key-key-key-key\npool: { max_queue_depth: '${B:-7}', timeout_secs: ~ }\n",
    '{"server": {"cors": {"origins": ["https://a.example"]}}, "pool": {"max_que_depth": 1}}\n',
]
KEY_LINES = [
    "a-key-of-16-chars editors scopes=infer,admin,metrics max_class=high weight=2 models=a,b rpm=60 # x",
    "sha256:" + "0a" * 32 + " t tpm=100000 max_running=4 max_in_flight=16 expires=2027-01-31",
    "# nothing\n\na-key-of-16-chars t rpm=0 rpm=1\n",
]


def nested(path, value):
    """A file with one key."""
    text, indent = "", ""
    for part in path.split("."):
        text += f"{indent}{part.removesuffix('[]')}:\n"
        indent = indent.replace("-", " ") + ("  - " if part.endswith("[]") else "  ")
    return f"{text[:-1]} {value}\n".encode()


def config_seeds():
    """Each key of the table in docs/configuration.md, and files and lines of several."""
    row = re.compile(r"^\| `([a-z_.\[\]]+)` \| [^|]* \| ([^|]*) \|", re.MULTILINE)
    found = row.findall((ROOT / "docs" / "configuration.md").read_text())
    for path, value in found:
        yield nested(path, value.strip())
    yield from (text.encode() for text in CONFIGS)
    yield from (KEYS + line.encode() for line in KEY_LINES)


TARGETS = {
    "config": config_seeds,
    "gguf": gguf_seeds,
    "request": request_seeds,
    "split": split_seeds,
    "tokenizer": tokenizer_seeds,
    "template": template_seeds,
}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for target, seeds in TARGETS.items():
        folder = Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed-{number:04d}").write_bytes(seed)


if __name__ == "__main__":
    main()
