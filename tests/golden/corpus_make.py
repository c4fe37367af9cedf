#!/usr/bin/env python3
"""Writes a text of many kinds and scripts, some of it broken UTF-8, to try tokenizers on.

    python3 tests/golden/corpus_make.py --bytes 1500000 --seed 1 /tmp/corpus.bin

From what a Debian machine with Python has: translations (/usr/share/locale), this tree's
sources, Python's test texts in East Asian scripts, and every assigned character with its name.
Pieces of all kinds take turns; one in ten has bytes changed or is cut inside a character.
The same machine, size and seed give the same bytes.
"""

import argparse
import gettext
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

PIECE = 400  # bytes, about


def pieces(data):
    """Cut at ends of lines, or where there is none for long."""
    out, piece = [], b""
    for line in data.splitlines(keepends=True):
        piece += line
        while len(piece) > 4 * PIECE:
            out.append(piece[: 4 * PIECE])
            piece = piece[4 * PIECE :]
        if len(piece) >= PIECE:
            out.append(piece)
            piece = b""
    return out + [piece] if piece else out


def translations():
    """Sentences in the languages of this machine, a few catalogues of each."""
    out = []
    for folder in sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES")):
        for path in sorted(folder.glob("*.mo"))[:12]:
            try:
                with open(path, "rb") as f:
                    catalog = gettext.GNUTranslations(f)._catalog
            except (OSError, UnicodeDecodeError, LookupError, ValueError):
                continue
            text = "\n".join(str(v) for k, v in catalog.items() if k and v)
            out += pieces(text.encode("utf-8", "replace"))
    return out


def sources():
    root = Path(__file__).resolve().parent.parent.parent
    names = subprocess.run(["git", "-C", root, "ls-files", "*.c", "*.h", "*.py", "*.md"], capture_output=True, text=True, check=True)
    return [x for name in names.stdout.split() if (root / name).is_file() for x in pieces((root / name).read_bytes())]


def east_asian():
    folder = Path(sys.prefix if sys.prefix == sys.base_prefix else sys.base_prefix) / "lib"
    return [x for path in sorted(folder.glob("python3*/test/cjkencodings/*-utf8.txt")) for x in pieces(path.read_bytes())]


def characters():
    lines = []
    for code in range(0x110000):
        c = chr(code)
        if unicodedata.category(c) not in ("Cn", "Cs", "Co"):
            lines.append("%s U+%04X %s %s" % (c, code, unicodedata.name(c, ""), unicodedata.normalize("NFD", c)))
    return pieces("\n".join(lines).encode())


def broken(rng, piece):
    data = bytearray(piece)
    if rng.random() < 0.5:
        return bytes(data[rng.randrange(len(data)) :])
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), rng.randrange(128, 256)))
    return bytes(data)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bytes", type=int, default=1_500_000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("out")
    args = p.parse_args()
    rng = random.Random(args.seed)
    kinds = [(4, translations()), (2, sources()), (1, east_asian()), (2, characters())]
    kinds = [(weight, texts) for weight, texts in kinds if texts]
    for _, texts in kinds:
        rng.shuffle(texts)
    at = [0] * len(kinds)
    size = 0
    with open(args.out, "wb") as f:
        while size < args.bytes:
            k = rng.choices(range(len(kinds)), [weight for weight, _ in kinds])[0]
            piece = kinds[k][1][at[k] % len(kinds[k][1])]
            at[k] += 1
            if rng.random() < 0.1:
                piece = broken(rng, piece)
            size += f.write(piece)
    print("%s: %d bytes; pieces %s of %s" % (args.out, size, at, [len(texts) for _, texts in kinds]), file=sys.stderr)


if __name__ == "__main__":
    main()
