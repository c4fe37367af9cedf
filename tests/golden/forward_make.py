#!/usr/bin/env python3
"""Makes forward_smollm2.txt: what the default model answers, computed the plain way.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install numpy gguf tokenizers
    /tmp/golden/bin/python tests/golden/forward_make.py \\
        models/smollm2-135m-instruct-q4_1.gguf tests/golden/forward_smollm2.txt

Every weight is dequantised to float32 and everything after that is computed in
float64, without blocks, batches or tricks, so the numbers are those of the
model itself and not of one way to run it. Takes a minute or two on one core.
"""

import argparse
import hashlib
import importlib.metadata
import os
import re
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gguf
import numpy as np
import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTINUATION = 24  # tokens, at most; fewer if the model ends its answer
TOP = 5
QUICK = 2  # this many of the shortest cases make the quick subset

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def chat(user):
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{user}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


LONG = (
    "Rivers have always been the roads of trade. Long before there were railways, barges "
    "carried grain, timber, wool and salt from the hills down to the sea, and came back with "
    "iron, glass and wine. Towns grew where a river could be crossed, and the toll of a bridge "
    "paid for walls, markets and schools. When the first steamboats arrived, the journey "
    "upstream, which had taken three weeks behind a team of horses, was done in four days. "
    "The merchants who had laughed at the smoking machines were the first to buy"
)

PROMPTS = [
    # name, text
    ("chat_question", chat("What is the capital of France?")),
    ("chat_code", chat("Write a C function that returns the sum of an array of integers.")),
    ("chat_story", chat("Tell me a short story about a fox who learns to share.")),
    ("chat_list", chat("List five fruits that are red, one per line.")),
    ("raw_numbers", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,"),
    ("raw_french", "Il était une fois une petite fille qui habitait"),
    ("raw_repetition", "red green blue red green blue red green blue red green"),
    ("raw_long", LONG),
]


class Model:
    """The llama architecture: RMSNorm, rotary positions, grouped heads, SwiGLU, tied head."""

    def __init__(self, reader):
        def field(name):
            return reader.fields[name].contents()

        assert field("general.architecture") == "llama"
        self.n_layers = field("llama.block_count")
        self.n_heads = field("llama.attention.head_count")
        self.n_kv = field("llama.attention.head_count_kv")
        self.d_model = field("llama.embedding_length")
        self.d_head = field("llama.rope.dimension_count")
        self.eps = float(field("llama.attention.layer_norm_rms_epsilon"))
        base = float(field("llama.rope.freq_base"))
        assert self.d_head * self.n_heads == self.d_model
        self.inv_freq = base ** (-np.arange(0, self.d_head, 2, dtype=np.float64) / self.d_head)
        self.w = {
            t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
            for t in reader.tensors
        }
        assert "output.weight" not in self.w  # the head is the embedding
        self.clear()

    def clear(self):
        self.k = [np.zeros((0, self.n_kv, self.d_head)) for _ in range(self.n_layers)]
        self.v = [np.zeros((0, self.n_kv, self.d_head)) for _ in range(self.n_layers)]

    def norm(self, x, weight):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps) * weight

    def rope(self, x, pos):
        """x [rows][heads][d_head]; each adjacent pair is turned by pos * inv_freq."""
        angle = pos[:, None, None] * self.inv_freq
        even, odd = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
        out[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
        return out

    def attend(self, layer, x, pos):
        w = lambda name: self.w[f"blk.{layer}.attn_{name}.weight"].T
        rows = len(x)
        q = self.rope((x @ w("q")).reshape(rows, self.n_heads, self.d_head), pos)
        k = self.rope((x @ w("k")).reshape(rows, self.n_kv, self.d_head), pos)
        v = (x @ w("v")).reshape(rows, self.n_kv, self.d_head)
        self.k[layer] = k = np.concatenate([self.k[layer], k])
        self.v[layer] = v = np.concatenate([self.v[layer], v])
        hidden = np.arange(len(k))[None, :] > pos[:, None]
        out = np.empty_like(q)
        for head in range(self.n_heads):
            group = head // (self.n_heads // self.n_kv)
            score = q[:, head] @ k[:, group].T / np.sqrt(self.d_head)
            score[hidden] = -np.inf
            weight = np.exp(score - score.max(axis=-1, keepdims=True))
            out[:, head] = weight / weight.sum(axis=-1, keepdims=True) @ v[:, group]
        return out.reshape(rows, self.d_model) @ w("output")

    def feed_forward(self, layer, x):
        w = lambda name: self.w[f"blk.{layer}.ffn_{name}.weight"].T
        gate = x @ w("gate")
        return (gate / (1 + np.exp(-gate)) * (x @ w("up"))) @ w("down")

    def forward(self, ids):
        """Appends ids to the cache; gives their logits [len(ids)][vocabulary]."""
        pos = np.arange(len(ids)) + len(self.k[0])
        x = self.w["token_embd.weight"][ids]
        for layer in range(self.n_layers):
            x = x + self.attend(layer, self.norm(x, self.w[f"blk.{layer}.attn_norm.weight"]), pos)
            x = x + self.feed_forward(layer, self.norm(x, self.w[f"blk.{layer}.ffn_norm.weight"]))
        return self.norm(x, self.w["output_norm.weight"]) @ self.w["token_embd.weight"].T


def tokenizer_from(reader):
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    assert reader.fields["tokenizer.ggml.pre"].contents() == "smollm"
    tok = Tokenizer(
        models.BPE(
            vocab={text: i for i, text in enumerate(tokens)},
            merges=[tuple(m.split(" ")) for m in merges],
        )
    )
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    control = int(gguf.TokenType.CONTROL)
    tok.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, types) if k == control]
    )
    assert tok.get_vocab_size() == len(tokens)
    return tok


def line_of(row):
    top = np.lexsort((np.arange(len(row)), -row))[:TOP]
    pairs = " ".join(f"{i} {row[i]:.5f}" for i in top)
    return f"{pairs} {row.min():.5f}"


def run_case(model, tok, end_ids, text):
    ids = tok.encode(text, add_special_tokens=False).ids
    prompt_count = len(ids)
    model.clear()
    lines = []
    fresh = ids
    while True:
        logits = model.forward(fresh)
        lines += [line_of(row) for row in logits]
        best = int(np.argmax(logits[-1]))
        if len(ids) - prompt_count == CONTINUATION or best in end_ids:
            return ids, prompt_count, lines
        fresh = [best]
        ids = ids + fresh


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


HEADER = """\
# The default model's answers: token ids and logits, computed in float64 from
# the dequantised weights. README.md beside this file says how to remake it.
#
# made by  tests/golden/forward_make.py
# with     python {python}, numpy {numpy}, gguf {gguf}, tokenizers {tokenizers}
# model    smollm2-135m-instruct-q4_1.gguf
# sha256   {sha256}
#
# Lines that start with '#' come before the first case and nowhere else. A case:
#   case NAME n_prompt n_total
#   id ... id                       n_total of them: the prompt, then the greedy continuation
#   id0 logit0 ... id4 logit4 min   n_total lines, one per position: the five largest logits
#                                   in falling order, and the smallest logit of that row
# A continuation has 24 tokens, or fewer: then the last row's best id is an end token.
# The names of the quick subset start with "quick_"; these cases come first.
"""


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("model")
    args.add_argument("output")
    args = args.parse_args()

    reader = gguf.GGUFReader(args.model)
    tok = tokenizer_from(reader)
    end_ids = {tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")}
    model = Model(reader)

    cases = []
    for name, text in PROMPTS:
        ids, prompt_count, lines = run_case(model, tok, end_ids, text)
        answer = tok.decode(ids[prompt_count:], skip_special_tokens=False)
        print(f"{name}: {prompt_count} + {len(ids) - prompt_count} tokens: {answer!r}", file=sys.stderr)
        cases.append((name, prompt_count, ids, lines))
    quick = {c[0] for c in sorted(cases, key=lambda c: len(c[2]))[:QUICK]}
    cases.sort(key=lambda c: c[0] not in quick)

    with open(args.output, "w", encoding="ascii") as out:
        out.write(
            HEADER.format(
                python=re.match(r"\d+\.\d+", sys.version)[0],
                numpy=np.__version__,
                gguf=importlib.metadata.version("gguf"),
                tokenizers=tokenizers.__version__,
                sha256=sha256_of(args.model),
            )
        )
        for name, prompt_count, ids, lines in cases:
            prefix = "quick_" if name in quick else ""
            out.write(f"case {prefix}{name} {prompt_count} {len(ids)}\n")
            out.write(" ".join(map(str, ids)) + "\n")
            out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
