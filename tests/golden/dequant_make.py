#!/usr/bin/env python3
"""Makes dequant_types.txt: blocks of every tensor type and their values.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install numpy==2.4.6 gguf==0.19.0
    /tmp/golden/bin/python tests/golden/dequant_make.py tests/golden/dequant_types.txt

The bytes of a block are random, its scales are chosen: ordinary ones, the largest and the
smallest halves, subnormal halves, zeros of both signs. The values are what the gguf package's
numpy dequantisers give.
"""

import importlib.metadata
import platform
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

SEED = 20250801

# Where a block keeps its halves: d, then the minimum if there is one.
HALVES = {
    Type.Q4_0: (0,), Type.Q4_1: (0, 2), Type.Q5_0: (0,), Type.Q5_1: (0, 2), Type.Q8_0: (0,),
    Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2),
    Type.Q6_K: (208,), Type.IQ4_NL: (0,), Type.IQ4_XS: (0,), Type.MXFP4: (),
}

# Halves for d and minimum, None: random with exponents like those of real weights.
CASES = [
    (None, None),
    (None, None),
    (0x7BFF, 0xFBFF),  # 65504, -65504
    (0x0001, 0x83FF),  # the smallest subnormal, the largest negative one
    (0x8000, 0x8000),  # -0
    (0x8155, 0x0000),
]

HEADER = """\
# Blocks of every tensor type and their float32 values, bit for bit.
# The script says how to remake it.
#
# made by  tests/golden/dequant_make.py
# with     python {python}, numpy {numpy}, gguf {gguf}
# seed     {seed}
#
# Lines that start with '#' come before the first type and nowhere else. A type:
#   type NAME NUMBER block_len block_bytes n_blocks
#   bytes                   of a block in hexadecimal, as they lie in a file; n_blocks times:
#   values                  this line and the one above; 8 hexadecimal digits for each value
"""


def random_half(rng):
    return int(rng.integers(0, 2) << 15 | rng.integers(5, 13) << 10 | rng.integers(0, 1024))


def quantised_blocks(rng, kind):
    block_len, block_bytes = GGML_QUANT_SIZES[kind]
    rounds = 1 if block_len == 256 else 2
    blocks = rng.integers(0, 256, (rounds * len(CASES), block_bytes), dtype=np.uint8)
    for i, block in enumerate(blocks):
        for at, half in zip(HALVES[kind], CASES[i % len(CASES)]):
            block[at:at + 2].view("<u2")[0] = random_half(rng) if half is None else half
        if kind == Type.MXFP4:
            block[0] = [127, 110, 0, 1, 2, 3, 251, 252, 253, 254, 255, 130][i]
    return blocks


def plain_blocks(rng, kind):
    """Numbers of one element each, none of them NaN: a NaN's bits are the processor's choice."""
    if kind == Type.F32:
        bits = rng.integers(0, 1 << 32, 40, dtype=np.uint32)
        bits[:6] = [0, 0x80000000, 1, 0x7F7FFFFF, 0x7F800000, 0xFF800000]
        return bits[(bits & 0x7FFFFFFF) <= 0x7F800000].view(np.uint8).reshape(-1, 4)
    top = 0x7C00 if kind == Type.F16 else 0x7F80
    bits = rng.integers(0, 1 << 16, 120, dtype=np.uint16)
    bits[:8] = [0, 0x8000, 1, 0x8001, 0x03FF, top - 1, top, top | 0x8000]
    return bits[(bits & 0x7FFF) <= top].view(np.uint8).reshape(-1, 2)


def main():
    kinds = [Type.F32, Type.F16, Type.BF16, *HALVES]
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write(HEADER.format(python=platform.python_version(), numpy=np.__version__,
                                gguf=importlib.metadata.version("gguf"), seed=SEED))
        for kind in kinds:
            rng = np.random.default_rng([SEED, int(kind)])
            blocks = quantised_blocks(rng, kind) if kind in HALVES else plain_blocks(rng, kind)
            block_len, block_bytes = GGML_QUANT_SIZES[kind]
            with np.errstate(over="ignore", invalid="ignore"):
                values = dequantize(blocks, kind).astype("<f4")
            assert not np.isnan(values).any()
            out.write(f"type {kind.name.lower()} {int(kind)} {block_len} {block_bytes} {len(blocks)}\n")
            for block, row in zip(blocks, values):
                out.write(block.tobytes().hex() + "\n")
                out.write("".join(f"{x:08x}" for x in row.view("<u4")) + "\n")


if __name__ == "__main__":
    main()
