#!/usr/bin/env python3
"""Makes arch_*.txt: what tiny random models of each architecture answer, by transformers.

    python3 -m venv /tmp/arch && /tmp/arch/bin/pip install numpy gguf torch transformers
    /tmp/arch/bin/python tests/golden/arch_make.py tests/golden

A case is a model file in words: its keys, and for each tensor its shape, its type and how to
draw it. The test draws the same numbers (tests/model/arch_case.c), so no weights are stored.
Here they are turned into what transformers calls them, the way converters do it backwards:
rows of Wq and Wk of llama files are un-permuted, 1 is taken off gemma's norms. Names of tensors
are compared with those of the gguf package. Everything is computed in f32, attention "eager".

With --gguf DIR the model files themselves are written there, too, by the gguf package.
"""

import argparse
import importlib.metadata
import math
import os
import re
import struct

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as T
from gguf import Keys

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
VOCAB = 43
POSITIONS = 72

# ---- numbers ----


def mix(z):
    """splitmix64's step for the state z; ints, or arrays of uint64."""
    if isinstance(z, int):
        z = (z + GAMMA) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)
    z = z + np.uint64(GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def tensor_seed(seed, name):
    for c in name.encode():
        seed = mix(seed ^ c)
    return seed


def words(seed, count):
    """The first `count` words of a tensor's sequence."""
    with np.errstate(over="ignore"):
        return mix(np.uint64(seed) + np.arange(count, dtype=np.uint64) * np.uint64(GAMMA))


def normal(w):
    """About N(0, 1) from each word: the sum of its four 16-bit parts."""
    total = sum(((w >> np.uint64(s)) & np.uint64(0xFFFF)).astype(np.float64) for s in (0, 16, 32, 48))
    return (total - 131070) / 65536 * math.sqrt(3.0)


def half_bits(x):
    """The bits of x cut to half precision."""
    x = np.asarray(x, dtype=np.float32)
    bits = x.view(np.uint32)
    sign = (bits >> 16) & 0x8000
    small = (np.abs(x) * np.float32(2**24)).astype(np.uint32)
    exponent = ((bits >> 23) & 255).astype(np.int64) - 112
    large = (np.maximum(exponent, 0).astype(np.uint32) << 10) | ((bits >> 13) & 0x3FF)
    return (sign | np.where(exponent > 0, large, small)).astype(np.uint16)


# Quantised blocks are random bytes under a scale. Where the scale is, where the minimum (or
# None), what the minimum is in scales, and the deviation of values for a scale of 1. The scale
# of MXFP4 is a power of two.
BLOCKS = {
    T.Q4_0: (0, None, 0.0, 4.61),
    T.Q4_1: (0, 2, -7.5, 4.61),
    T.Q5_0: (0, None, 0.0, 9.23),
    T.Q5_1: (0, 2, -15.5, 9.23),
    T.Q8_0: (0, None, 0.0, 73.9),
    T.Q2_K: (80, 82, 1.5, 13.9),
    T.Q3_K: (108, None, 0.0, 43.3),
    T.Q4_K: (0, 2, 7.5, 258.0),
    T.Q5_K: (0, 2, 15.5, 527.0),
    T.Q6_K: (208, None, 0.0, 1365.0),
    T.IQ4_NL: (0, None, 0.0, 67.4),
    T.IQ4_XS: (0, None, 0.0, 1246.0),
    T.MXFP4: (0, None, 0.0, 4.3),
}


def draw(seed, tensor):
    """Bytes of a tensor as they stand in the file, and its values in f32."""
    rows = tensor.dims[1] if len(tensor.dims) > 1 else 1
    count = rows * tensor.dims[0]
    shape = tuple(reversed(tensor.dims))
    if tensor.values is not None:
        values = np.array(tensor.values, dtype=np.float32)
        return values, values
    s = tensor_seed(seed, tensor.name)
    if tensor.type in (T.F32, T.F16, T.BF16):
        values = (tensor.center + tensor.spread * normal(words(s, count))).astype(np.float32)
        if tensor.type == T.F16:
            halves = half_bits(values).view(np.float16).reshape(shape)
            return halves, halves.astype(np.float32)
        if tensor.type == T.BF16:
            halves = (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16).reshape(shape)
            return halves.view(np.uint8), (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return values.reshape(shape), values.reshape(shape)
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[tensor.type]
    scale_at, min_at, min_scales, unit = BLOCKS[tensor.type]
    blocks = count // block_len
    per_block = 1 + (block_bytes + 7) // 8
    w = words(s, blocks * per_block).reshape(blocks, per_block)
    data = np.ascontiguousarray(w[:, 1:]).view(np.uint8)[:, :block_bytes].copy()
    scale = tensor.spread / unit * (0.75 + (w[:, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-54)
    if tensor.type == T.MXFP4:
        data[:, 0] = 127 + np.frexp(scale)[1]
    else:
        data[:, scale_at : scale_at + 2] = half_bits(scale).view(np.uint8).reshape(-1, 2)
    if min_at is not None:
        data[:, min_at : min_at + 2] = half_bits(min_scales * scale).view(np.uint8).reshape(-1, 2)
    data = data.reshape(rows, -1)
    return data, gguf.quants.dequantize(data, tensor.type).astype(np.float32).reshape(shape)


# ---- model files in words ----


class Tensor:
    def __init__(self, name, type, dims, center=0.0, spread=0.0, values=None):
        self.name, self.type, self.dims = name, type, dims
        self.center, self.spread, self.values = center, spread, values


class Case:
    """Sizes and switches of a model, and everything that follows from them."""

    def __init__(self, name, arch, seed, **options):
        self.name, self.arch, self.seed = name, arch, seed
        defaults = dict(
            layers=3, width=48, heads=4, kv=1, head_dim=20, ffn=56, tied=True, eps=1e-5, base=10000.0,
            bias=False, types=lambda part: T.F32, positions=POSITIONS, context=256, rope=None, keys=[],
            window=0, pattern=None, window_base=10000.0, window_layers=None, scalar=None,
        )
        assert set(options) <= set(defaults)
        self.__dict__.update(defaults | options)
        self.keys = self.make_keys() + [(k, n.format(arch=arch), *v) for k, n, *v in self.keys]
        self.tensors = self.make_tensors()

    def make_keys(self):
        A, R = Keys.Attention, Keys.Rope
        keys = [
            ("u32", Keys.LLM.BLOCK_COUNT, self.layers),
            ("u32", Keys.LLM.CONTEXT_LENGTH, self.context),
            ("u32", Keys.LLM.EMBEDDING_LENGTH, self.width),
            ("u32", Keys.LLM.FEED_FORWARD_LENGTH, self.ffn),
            ("u32", A.HEAD_COUNT, self.heads),
            ("u32", A.HEAD_COUNT_KV, self.kv),
            ("f32", A.LAYERNORM_RMS_EPS, self.eps),
            ("f32", R.FREQ_BASE, self.base),
            ("u32", A.KEY_LENGTH, self.head_dim),
            ("u32", A.VALUE_LENGTH, self.head_dim),
        ]
        if self.arch == "llama":
            keys.append(("u32", R.DIMENSION_COUNT, self.head_dim))
        if self.window:
            keys.append(("u32", A.SLIDING_WINDOW, self.window))
        rope = self.rope or {}
        if rope.get("rope_type") in ("linear", "yarn"):
            keys += [("str", R.SCALING_TYPE, rope["rope_type"]), ("f32", R.SCALING_FACTOR, rope["factor"])]
        for ours, theirs, kind in (
            ("original_max_position_embeddings", R.SCALING_ORIG_CTX_LEN, "u32"),
            ("attention_factor", R.SCALING_YARN_ATTN_FACTOR, "f32"),
            ("beta_fast", R.SCALING_YARN_BETA_FAST, "f32"),
            ("beta_slow", R.SCALING_YARN_BETA_SLOW, "f32"),
            ("mscale_all_dim", R.SCALING_YARN_LOG_MUL, "f32"),
        ):
            if rope.get("rope_type") == "yarn" and ours in rope:
                keys.append((kind, theirs, rope[ours]))
        architecture = ("str", Keys.General.ARCHITECTURE, self.arch)
        return [architecture] + [(k, n.format(arch=self.arch), v) for k, n, v in keys]

    def make_tensors(self):
        q, kv = self.heads * self.head_dim, self.kv * self.head_dim
        is_gemma = self.arch == "gemma3"
        self.hf = {}  # name here -> (name there, what is done to it)
        out = []

        def add(name, there, dims, center, spread, how="as is"):
            part = re.sub(r"^blk\.\d+\.", "", name)
            type = self.types(part) if len(dims) == 2 else T.F32
            out.append(Tensor(name, type, dims, center, spread))
            self.hf[name] = (there, how)

        def norm(name, there, n, center=1.0):
            add(name + ".weight", there + ".weight", (n,), center, 0.25, "less one" if is_gemma else "as is")

        def matrix(name, there, n_in, n_out, gain, bias=False, how="as is"):
            add(name + ".weight", there + ".weight", (n_in, n_out), 0.0, gain / math.sqrt(n_in), how)
            if bias:
                add(name + ".bias", there + ".bias", (n_out,), 0.1, 0.5, how)

        sharp = 2.5 / math.sqrt(self.width)  # logits deviate by about 2.5
        add("token_embd.weight", "model.embed_tokens.weight", (self.width, VOCAB), 0.0, sharp)
        if not self.tied:
            add("output.weight", "lm_head.weight", (self.width, VOCAB), 0.0, sharp)
        norm("output_norm", "model.norm", self.width)
        qkv_bias = self.bias or self.arch == "qwen2"
        turned = lambda heads: f"unpermute {heads}" if self.arch == "llama" else "as is"
        for i in range(self.layers):
            b, hf = f"blk.{i}.", f"model.layers.{i}."
            norm(b + "attn_norm", hf + "input_layernorm", self.width)
            matrix(b + "attn_q", hf + "self_attn.q_proj", self.width, q, 1.4, qkv_bias, turned(self.heads))
            matrix(b + "attn_k", hf + "self_attn.k_proj", self.width, kv, 1.4, qkv_bias, turned(self.kv))
            matrix(b + "attn_v", hf + "self_attn.v_proj", self.width, kv, 1.0, qkv_bias)
            matrix(b + "attn_output", hf + "self_attn.o_proj", q, self.width, 2.0, self.bias)
            if self.arch in ("qwen3", "gemma3"):
                norm(b + "attn_q_norm", hf + "self_attn.q_norm", self.head_dim, 1.4)
                norm(b + "attn_k_norm", hf + "self_attn.k_norm", self.head_dim, 1.4)
            if is_gemma:
                norm(b + "post_attention_norm", hf + "post_attention_layernorm", self.width, 1.5)
                norm(b + "ffn_norm", hf + "pre_feedforward_layernorm", self.width)
                norm(b + "post_ffw_norm", hf + "post_feedforward_layernorm", self.width, 1.5)
            else:
                norm(b + "ffn_norm", hf + "post_attention_layernorm", self.width)
            matrix(b + "ffn_gate", hf + "mlp.gate_proj", self.width, self.ffn, 1.5)
            matrix(b + "ffn_up", hf + "mlp.up_proj", self.width, self.ffn, 1.0)
            matrix(b + "ffn_down", hf + "mlp.down_proj", self.ffn, self.width, 1.0)
        if (self.rope or {}).get("rope_type") == "llama3":
            factors = llama3_factors(self.base, self.head_dim, **self.rope)
            out.append(Tensor("rope_freqs.weight", T.F32, (len(factors),), values=factors))
        names = gguf.get_tensor_name_map({v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[self.arch], self.layers)
        for name, (there, _) in self.hf.items():
            assert names.get_name(there, try_suffixes=(".weight", ".bias")) == name, (name, there)
        return out

    def config(self):
        common = dict(
            vocab_size=VOCAB, hidden_size=self.width, intermediate_size=self.ffn, head_dim=self.head_dim,
            num_hidden_layers=self.layers, num_attention_heads=self.heads, num_key_value_heads=self.kv,
            max_position_embeddings=self.context, rms_norm_eps=self.eps, tie_word_embeddings=self.tied,
            bos_token_id=0, eos_token_id=1, pad_token_id=None, attn_implementation="eager",
        )
        rope = {"rope_type": "default", "rope_theta": self.base} | (self.rope or {})
        if self.arch == "llama":
            return transformers.LlamaConfig(**common, rope_parameters=rope, attention_bias=self.bias)
        if self.arch == "qwen2":
            return transformers.Qwen2Config(**common, rope_parameters=rope)
        if self.arch == "qwen3":
            return transformers.Qwen3Config(**common, rope_parameters=rope, attention_bias=self.bias)
        windows = self.window_layers or [bool((i + 1) % 6) for i in range(self.layers)]
        return transformers.Gemma3TextConfig(
            **common,
            rope_parameters={
                "full_attention": rope,
                "sliding_attention": {"rope_type": "default", "rope_theta": self.window_base},
            },
            sliding_window=self.window or self.context,
            layer_types=["sliding_attention" if w and self.window else "full_attention" for w in windows],
            query_pre_attn_scalar=self.scalar or self.head_dim,
        )

    def model(self):
        classes = dict(
            llama=transformers.LlamaForCausalLM, qwen2=transformers.Qwen2ForCausalLM,
            qwen3=transformers.Qwen3ForCausalLM, gemma3=transformers.Gemma3ForCausalLM,
        )
        model = classes[self.arch](self.config()).eval()
        state = {}
        for t in self.tensors:
            if t.name == "rope_freqs.weight":
                continue  # follows from the config
            name, how = self.hf[t.name]
            values = draw(self.seed, t)[1]
            if how == "less one":
                values = values - np.float32(1)
            if how.startswith("unpermute"):
                values = unpermute(values, int(how.split()[1]))
            state[name] = torch.from_numpy(np.ascontiguousarray(values))
        if self.tied:
            state["lm_head.weight"] = state["model.embed_tokens.weight"]
        with torch.no_grad():
            model.load_state_dict(state, strict=True)
        return model

    def ids(self):
        return [int(w % VOCAB) for w in words(tensor_seed(self.seed, "ids"), self.positions)]

    def logits(self):
        with torch.no_grad():
            return self.model()(input_ids=torch.tensor([self.ids()])).logits[0].numpy()


def unpermute(values, heads):
    """Neighbours that rotate together become halves: converters' permute, undone."""
    shape = values.shape
    return values.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def llama3_factors(base, dim, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings, **_):
    """The tensor rope_freqs as converters compute it."""
    out = []
    for i in range(0, dim, 2):
        turns = original_max_position_embeddings * base ** (-i / dim) / (2 * math.pi)
        if turns > high_freq_factor:
            out.append(1.0)
        elif turns < low_freq_factor:
            out.append(float(factor))
        else:
            smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)
            out.append(1 / ((1 - smooth) / factor + smooth))
    assert 1 < len(set(out))
    return [float(np.float32(f)) for f in out]


def q8(part):
    return T.Q8_0


def old_types(part):
    """A mix of the types with blocks of 32."""
    types = {"attn_q": T.Q4_0, "attn_k": T.Q5_0, "attn_v": T.F16, "attn_output": T.Q4_1, "ffn_gate": T.Q4_0,
             "ffn_up": T.Q5_0, "ffn_down": T.Q8_0, "token_embd": T.Q5_0}
    return types[part.removesuffix(".weight")]


def other_types(part):
    """The types with blocks of 32 and of one that files have less often."""
    types = {"attn_q": T.Q5_1, "attn_k": T.BF16, "attn_v": T.IQ4_NL, "attn_output": T.MXFP4, "ffn_gate": T.MXFP4,
             "ffn_up": T.IQ4_NL, "ffn_down": T.Q5_1, "token_embd": T.BF16}
    return types[part.removesuffix(".weight")]


def small_k_types(part):
    """The types of blocks of 256 in files named Q2_K, Q3_K_M, IQ4_XS and Q5_K_M."""
    types = {"attn_q": T.Q2_K, "attn_k": T.Q3_K, "attn_v": T.Q5_K, "attn_output": T.IQ4_XS, "ffn_gate": T.IQ4_XS,
             "ffn_up": T.Q3_K, "ffn_down": T.Q5_K, "token_embd": T.Q5_K, "output": T.Q6_K}
    return types[part.removesuffix(".weight")]


def k_types(part):
    """The mix of files named Q4_K_M: the more sensitive half in Q6_K."""
    return T.Q6_K if part in ("token_embd.weight", "attn_v.weight", "ffn_down.weight") else T.Q4_K


A = Keys.Attention
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
LINEAR = dict(rope_type="linear", factor=4.0)
BLOCKS_32 = dict(width=64, ffn=96, head_dim=32, heads=4, kv=2)

CASES = [
    # One KV head, heads wider than width/heads, a tied head.
    Case("plain", "llama", 101),
    # As many KV heads as heads, a head of its own, biases; factors of rotation.
    Case("factors", "llama", 102, kv=4, tied=False, bias=True, rope=LLAMA3, base=5000.0),
    Case("linear", "llama", 103, kv=2, rope=LINEAR),
    Case("yarn", "llama", 104, kv=2, rope=YARN, base=500.0, head_dim=24),
    # YaRN's other parameters: a wider ramp, mscale.
    Case("yarn_ramp", "llama", 105, kv=2, tied=False, base=500.0, head_dim=24,
         rope=YARN | dict(beta_fast=3.0, beta_slow=0.2, mscale=1.0, mscale_all_dim=0.5)),
    Case("q8_0", "llama", 106, types=q8, **BLOCKS_32),
    Case("blocks_of_32", "llama", 107, types=old_types, **BLOCKS_32),
    Case("blocks_of_256", "llama", 108, types=k_types, layers=2, width=256, heads=4, kv=4, head_dim=64,
         ffn=256),
    Case("other_blocks_of_32", "llama", 109, types=other_types, **BLOCKS_32),
    Case("plain", "qwen2", 201),
    Case("yarn", "qwen2", 202, kv=4, tied=False, rope=YARN, base=1000.0, eps=1e-6),
    Case("q8_0", "qwen2", 203, types=q8, tied=False, **BLOCKS_32),
    Case("blocks_of_256", "qwen2", 204, types=k_types, layers=2, width=256, heads=4, kv=2, head_dim=64,
         ffn=256),
    Case("plain", "qwen3", 301),
    # The factor on cosines and sines, given.
    Case("yarn_factor", "qwen3", 302, kv=4, tied=False, base=1000.0, eps=1e-6,
         rope=YARN | dict(attention_factor=1.3)),
    Case("biases", "qwen3", 303, kv=2, bias=True),
    Case("q8_0", "qwen3", 304, types=q8, **BLOCKS_32),
    Case("small_blocks_of_256", "qwen3", 305, types=small_k_types, tied=False, layers=2, width=256, heads=4,
         kv=4, head_dim=64, ffn=256),
    # The usual pattern, five windows and one without; scaling where there is no window.
    Case("pattern_of_six", "gemma3", 401, layers=7, window=9, base=1000000.0, eps=1e-6,
         rope=LINEAR | dict(factor=8.0)),
    # A window longer than a block of the cache, layers listed, a base of their own.
    Case("pattern_listed", "gemma3", 402, layers=4, kv=4, window=41, window_base=700.0, base=20000.0,
         window_layers=[True, False, False, True],
         keys=[("bools", A.SLIDING_WINDOW_PATTERN, 1, 0, 0, 1), ("f32", Keys.Rope.FREQ_BASE_SWA, 700.0)]),
    Case("pattern_of_two", "gemma3", 403, layers=4, kv=2, window=16, base=50000.0,
         window_layers=[True, False, True, False], keys=[("u32", A.SLIDING_WINDOW_PATTERN, 2)]),
    Case("no_window", "gemma3", 404, layers=3, kv=2, base=50000.0),
    # As many layers as the 27B, whose scores are scaled by width/heads.
    Case("layers_of_27b", "gemma3", 405, layers=62, width=24, heads=2, kv=1, head_dim=16, ffn=24, window=9,
         base=1000000.0, scalar=12, positions=40),
    Case("q8_0", "gemma3", 406, layers=7, window=20, base=1000000.0, types=q8, **BLOCKS_32),
    # Files from the makers of the model: Q4_0 beside F16; and BF16 as it is trained.
    Case("q4_0", "gemma3", 407, layers=6, window=20, base=1000000.0, types=old_types, **BLOCKS_32),
    Case("bf16", "gemma3", 408, layers=6, window=20, base=1000000.0, types=lambda part: T.BF16, **BLOCKS_32),
]

# ---- writing ----

HEADER = """\
# Tiny random models of the architecture {arch}, and what transformers computes with them.
# README.md beside this file says what the lines mean and how to remake it.
#
# made by  tests/golden/arch_make.py
# with     python {python}, torch {torch}, transformers {transformers}, gguf {gguf}, numpy {numpy}
"""


def number(x):
    return repr(float(np.float32(x))) if isinstance(x, float) else str(x)


def lines_of(case):
    yield f"case {case.name} {case.seed} {case.positions} {VOCAB}"
    yield f"ids {' '.join(map(str, case.ids()))}"
    for kind, name, *values in case.keys:
        yield f"key {kind} {name} {len(values)} {' '.join(map(number, values))}"
    for t in case.tensors:
        dims = " ".join(map(str, t.dims))
        if t.values is not None:
            yield f"values {t.name} {dims} {' '.join(map(repr, t.values))}"
        else:
            yield f"tensor {t.name} {int(t.type)} {len(t.dims)} {dims} {t.center!r} {t.spread!r}"
    logits = case.logits()
    top = np.sort(logits, axis=1)
    gap = top[:, -1] - top[:, -2]
    print(f"{case.arch} {case.name}: gap above 0.1 in {np.mean(gap > 0.1):.0%}, "
          f"range {np.median(top[:, -1] - top[:, 0]):.1f}")
    assert np.mean(gap > 0.1) > 0.6
    yield "logits"
    for row in logits:
        yield " ".join(f"{x:.4f}" for x in row)


def write_gguf(case, path):
    writer = gguf.GGUFWriter(path, case.arch)
    for kind, name, *values in case.keys[1:]:
        if kind == "u32":
            writer.add_uint32(name, values[0])
        elif kind == "f32":
            writer.add_float32(name, values[0])
        elif kind == "str":
            writer.add_string(name, values[0])
        else:
            writer.add_array(name, [bool(v) for v in values])
    for t in case.tensors:
        data = draw(case.seed, t)[0]
        writer.add_tensor(t.name, data, raw_dtype=t.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("output", help="folder for arch_*.txt")
    args.add_argument("--gguf", help="folder for the model files")
    args = args.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    version = importlib.metadata.version
    for arch in dict.fromkeys(c.arch for c in CASES):
        with open(os.path.join(args.output, f"arch_{arch}.txt"), "w", encoding="ascii") as out:
            out.write(HEADER.format(
                arch=arch, python=".".join(map(str, __import__("sys").version_info[:2])), torch=torch.__version__,
                transformers=version("transformers"), gguf=version("gguf"), numpy=np.__version__,
            ))
            for case in (c for c in CASES if c.arch == arch):
                out.writelines(line + "\n" for line in lines_of(case))
                if args.gguf:
                    write_gguf(case, os.path.join(args.gguf, f"{arch}_{case.name}.gguf"))


if __name__ == "__main__":
    main()
