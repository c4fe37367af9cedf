#!/usr/bin/env python3
"""Writes the golden file of the byte-level BPE tokenizer.

The reference is the package "tokenizers": its BPE model gets the tokens and merges of the
GGUF file, the pre-tokenizer of SmolLM2's tokenizer.json (single digits, then byte level with
the gpt-2 pattern), and the control tokens as special tokens. Family gpt-2: without the digits.

    pip install tokenizers gguf
    python3 tests/golden/tokenizer_make.py            writes tests/golden/tokenizer_smollm.txt

A larger comparison, not kept: N more random texts, another seed, checked by the golden test.

    python3 tests/golden/tokenizer_make.py --check 100000 --seed 7 --out /tmp/big.txt
    build/debug/tests/tokenizer/golden_tokenizer_golden /tmp/big.txt

The same with a file of any bytes, such as that of corpus_make.py, cut anywhere, and each part's
ids back to text: --check 1000 --corpus FILE.

Random texts hold only characters that this Python's Unicode assigns, because the libraries
compared follow different versions of Unicode.
"""

import argparse
import importlib.metadata
import random
import sys
import unicodedata

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

MODEL = "models/smollm2-135m-instruct-q4_1.gguf"
OUT = "tests/golden/tokenizer_smollm.txt"
CONTROL = 3

PROSE = [
    "", "a", " ", "Hello", "Hello, world!", " Hello  world", "The quick brown fox jumps over the lazy dog.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity.",
    "What's 2+2? It's 4, isn't it?  I'm sure they're right; we've said so, I'll bet he'd agree.",
    "WHAT'S UP? I'M HERE, THEY'RE THERE, WE'VE, YOU'LL, HE'D, DON'T", "'s't're've'm'll'd'S'T'RE'VE'M'LL'D",
    "o'clock rock'n'roll 'tis '90s ''quoted'' 'l 'r 'v", "don\u2019t \u2018quoted\u2019 \u201cdouble\u201d \u2014 dash\u2026",
    "e.g. i.e. Mr. Smith et al., vol. 3, pp. 12-45 (2019).", "Mixed CASE camelCase PascalCase snake_case kebab-case SCREAMING_CASE",
    "https://www.example.com/path?query=1&other=two#frag", "user.name+tag@example.co.uk", "C:\\Users\\me\\file.txt /usr/local/bin",
    "Caf\u00e9 na\u00efve r\u00e9sum\u00e9 \u00fcber stra\u00dfe", "Cafe\u0301 nai\u0308ve re\u0301sume\u0301",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
]
CODE = [
    "int main(void)\n{\n    printf(\"hello, world\\n\");\n    return 0;\n}\n",
    "def f(x):\n\treturn [y**2 for y in range(x) if y % 2 == 0]\n\n\nprint(f(10))\n",
    "for (i = 0; i < n; i++) { a[i] += b[i] * 0x1F; } // done", "#include <stdio.h>\n#define X(a, b) a##b\n",
    "fn main() -> Result<(), Box<dyn Error>> { let v: Vec<u8> = vec![0; 16]; Ok(()) }",
    "SELECT a.id, COUNT(*) FROM t AS a WHERE a.x >= 10 AND a.y <> 'z' GROUP BY 1;",
    "<!DOCTYPE html><html><head><title>T</title></head><body class=\"a b\">&nbsp;</body></html>",
    "{\"name\": \"valet\", \"n\": [1, 2.5, -3e10, true, null], \"s\": \"\\u00e9\\n\"}",
    "{\n  \"a\": {\n    \"b\": [\n      1,\n      2\n    ]\n  }\n}\n", "key: value\nlist:\n  - one\n  - two\n", "a=b;c=d&&e||!f^g~h|i",
    "if [ -z \"$X\" ]; then echo \"${Y:-none}\" >&2; fi", "\\frac{\\partial f}{\\partial x} = \\sum_{i=1}^{n} x_i^2", "x\u00b2 + y\u00b3 = \u221a\u03c0 \u2248 1.77 \u00b1 0.5\u00d710\u207b\u2074",
    "\u2200x\u2208\u211d: \u2203y > x \u2227 \u00ac(y \u2264 x) \u21d2 \u22a4", "#### ==== ---- ++++ **** //// \\\\\\\\ ???? !!!!", "!@#$%^&*()_+-=[]{}|;':\",./<>?`~",
]
DIGITS = [
    "0", "1234567890", "12 345 6789", "3.14159", "1,000,000", "2024-02-29T12:34:56Z", "a1b2c3", "1a 2b 3c", " 7 8  9 ", "007", "-1 +2 \u22123",
    "\u0660\u0661\u0662\u0663\u0664\u0665", "\u06f1\u06f2\u06f3", "\u0967\u0968\u0969", "\u0e51\u0e52\u0e53", "\uff11\uff12\uff13", "\u09e7\u09e8 \u0be7\u0be8",
    "\u2160\u2161\u2162 \u216f", "\u00bd \u00bc \u2153", "\u2460\u2461\u2473", "x\u00b2y\u00b3", "\U0001d7ce\U0001d7cf\U0001d7d8", "\u4e00\u4e8c\u4e09 \u3007", "\u0bf0\u0bf1\u1369", "1\u00a02\u202f3",
]
SCRIPTS = [
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0643\u064a\u0641 \u062d\u0627\u0644\u0643\u061f", "\u0627\u0644\u0652\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u064e\u0629",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", "\u3053\u3093\u306b\u3061\u306f\u3001\u4e16\u754c\u3002\u30c6\u30b9\u30c8\u30fc\u3067\u3059", "\uff76\uff9e\uff77\uff9e \uff21\uff22\uff23", "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4", "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0401\u043b\u043a\u0430", "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5", "Xin ch\u00e0o th\u1ebf gi\u1edbi", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0", "\u0532\u0561\u0580\u0587",
    "\u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd", "\u0c28\u0c2e\u0c38\u0c4d\u0c24\u0c47", "\u1e7c\u0323\u0304 Z\u0351\u036b\u0343a\u0300\u0301l\u0302g\u0303o\u0304", "\u0301\u0301 \u0301a", "\u13a3\u13b3\u13a9 \u1200\u1208 \u1780\u17d2\u1798",
    "\U0001f600\U0001f602 \U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f1e9\U0001f1ea\U0001f1ef\U0001f1f5", "1\ufe0f\u20e3 \u2764\ufe0f \u263a", "\U0001f9d1\u200d\U0001f680x\U0001f9d1",
    "\U00020000\U0002a6d6 \U0001d400\U0001d41a", "\u200bzero\u200bwidth\ufeff\u2060 \u00adsoft\u00adhyphen", "a\u202eb\u202cc \u2067d\u2069", "\ufb01\ufb02 \u01c4 \u0130\u0131", "\ue000\uf8ff \U000f0000\U0010fffd", "\ufffd \ufffe\uffff",
]
SPACE = [
    "  ", "   ", "        ", "                                ", "a b", "a  b", "a   b", "a    b ", "a     ", " a", "  a", "   a  ", "\t", "\t\t", "\ta", "a\tb", "a \tb", "\t a",
    "\n", "\n\n", "\n\n\n", "\n\n\n\n a", "a\nb", "a\n b", "a \n b", "a\n\nb", "a\n  \n  b", "\r\n", "a\r\nb\r\n\r\nc", "\r\r", "a\rb", "\v\f", "a\vb\fc",
    "\u00a0", "a\u00a0b", "\u00a0\u00a0 x", "\u3000", "\u65e5\u3000\u672c", " \u3000 a", "\u2003\u2009\u200a", "\u1680x", "\u180e", " \u180e ", "a\u180eb", "\u0085", "a\u0085\u0085b", "\u2028\u2029", "a\u2028b", "\u205f\u202f",
    " 1", "  1", "   1  2", "1  ", "1 \n", "a \t\n\r\n \u00a0 b", " !", "  !", "! !", "?  ?", "    if x:\n        y\n", "\t\tx\n\t\t\ty", "\u200b \u200b",
]
CONTROLS = [
    "\x00", "\x01\x02\x03", "a\x00b", "\x07\x08\x0e\x0f", "\x1b[31mred\x1b[0m", "\x7f", "\x80\x9f".encode("latin-1").decode("latin-1"), "\x1c\x1d\x1e\x1f", "a\x1cb",
    # Bytes this vocabulary has no token for.
    "\x04", "\x06\x13\x14\x16\x1d", "a\x04b", "!\x04!", " \x06 ", "\U00040000", "\U0004fffe x", "-\U00080000-", "\x04\x04\x04a",
]
LONG = ["a" * 200, "ab" * 150, "e" * 33, "the" * 60, "\u00e9" * 80, " " * 300, "\n" * 100, "=" * 130, "-_" * 70, "x" * 31 + "y", "x" * 32, "x" * 33, "Aa" * 17, "\u4e2d" * 40, "internationalization" * 12, "\t" * 60 + "x", "\x04a" * 40]
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n",
    "a<|im_end|>b", " <|im_end|> ", "<|im_end|><|im_end|>", "<|im_start|", "<|im_start|><|im_sta", "<<|im_end|>>", "<|im_<|im_end|>start|>", "<|IM_END|>", "<repo_name>x<file_sep>y", "<reponame><filename>f.c<gh_stars>100-1000",
    "<jupyter_start><jupyter_text>t<jupyter_code>c<jupyter_output><empty_output>", "<issue_start>a<issue_comment>b<issue_closed>", "x  <|endoftext|>  y", "1<|im_end|>2", "<|im_end|>'s", "\u00e9<|im_end|>\u00e9",
]
ILL_FORMED = [
    b"\x80", b"\xff", b"a\xffb", b"\xc0\x80", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82a", b"\xe2(\xa1", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf0\x9f\x98 ok", b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"ok \xe4\xb8\xad\xe4\xb8 ok", b"\x80\x81\x82 \x83", b"<|im_end|\xff>", b"\xc3<|im_end|>\xa9", b"\xfe\xfe\xff\xff", b"\xe0\x9f\xbf\xe0\xa0\x80",
]


def alphabet():
    own = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    rest = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + n) for n, b in enumerate(rest)}}


def load(path):
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    return get("tokens"), get("token_type"), [tuple(m.split(" ")) for m in get("merges")]


def build(tokens, types, merges, split_digits=True):
    vocab = {text: i for i, text in enumerate(tokens)}
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token=None))
    passes = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    if split_digits:
        passes.insert(0, pre_tokenizers.Digits(individual_digits=True))
    t.pre_tokenizer = pre_tokenizers.Sequence(passes)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x, k in zip(tokens, types) if k == CONTROL])
    assert t.get_vocab_size() == len(tokens)
    return t


def escape(data):
    """Bytes as one line: printable characters stand for themselves, the rest is \\xNN."""
    out = []
    at = 0
    while at < len(data):
        for n in (1, 2, 3, 4):
            try:
                c = data[at : at + n].decode()
            except UnicodeDecodeError:
                continue
            if len(c) == 1 and c.isprintable() and c != "\\" and not unicodedata.combining(c):
                out.append(c)
                at += n
                break
        else:
            out.append("\\x%02x" % data[at])
            at += 1
    return "".join(out)


class Texts:
    """Random texts: runs of one kind of character, so that neighbours meet in every way."""

    def __init__(self, rng, control):
        self.rng = rng
        assigned = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
        by = lambda *prefixes: [c for c in assigned if unicodedata.category(c).startswith(prefixes)]
        common = [c for c in assigned if ord(c) < 0x3000]
        self.kinds = [
            (8, [chr(c) for c in range(0x61, 0x7B)]), (3, [chr(c) for c in range(0x20, 0x7F)]), (5, [" "]),
            (3, list("\n\r\t\v\f \u0085\u00a0\u3000\u2028\u180e")), (2, list("0123456789")), (2, by("N")), (2, by("Z")),
            (2, by("M")), (3, by("L")), (3, by("P", "S")), (1, by("C")), (3, common), (1, [chr(c) for c in range(0x20)]),
            (3, ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "'", "the", "ing", " of", " and", "self."]),
            (1, control + [c[:-1] for c in control]), (1, list("\U0001f600\U0001f44d\u200d\ufe0f\U0001f3fd")),
        ]

    def next(self, runs_max):
        weights = [w for w, _ in self.kinds]
        out = []
        for _ in range(self.rng.randint(1, runs_max)):
            kind = self.rng.choices(self.kinds, weights)[0][1]
            out += [self.rng.choice(kind)] * self.rng.choice((1, 1, 2, 5)) if self.rng.random() < 0.2 else self.rng.choices(kind, k=self.rng.choice((1, 1, 2, 3, 5)))
        return "".join(out)


def ids_of(t, text, trusted):
    t.encode_special_tokens = not trusted
    return t.encode(text, add_special_tokens=False).ids


def parts(path, rng):
    """The bytes of a file, cut anywhere."""
    with open(path, "rb") as f:
        while data := f.read(rng.choice((rng.randint(1, 40), rng.randint(1, 2000)))):
            yield data


def write(args):
    tokens, types, merges = load(args.model)
    t = build(tokens, types, merges)
    gpt2 = build(tokens, types, merges, split_digits=False)
    rng = random.Random(args.seed)
    control = [x for x, k in zip(tokens, types) if k == CONTROL]
    texts = Texts(rng, control)
    lines = []

    def add(kind, data, ids):
        lines.append("%s\t%s\t%s" % (kind, escape(data), " ".join(map(str, ids)) or "-"))

    for data in parts(args.corpus, rng) if args.corpus else []:
        ids = ids_of(t, data.decode("utf-8", "replace"), False)
        add("P", data, ids)
        add("D", t.decode(ids, skip_special_tokens=False).encode(), ids)
    fixed = PROSE + CODE + DIGITS + SCRIPTS + SPACE + CONTROLS + LONG
    if args.check:
        fixed = []
    for text in fixed:
        add("P", text.encode(), ids_of(t, text, False))
    for text in SPECIAL if not args.check else []:
        add("T", text.encode(), ids_of(t, text, True))
        add("P", text.encode(), ids_of(t, text, False))
    for data in ILL_FORMED if not args.check else []:
        add("P", data, ids_of(t, data.decode("utf-8", "replace"), False))
    for n in range(args.check or 900):
        text = texts.next(8)
        trusted = n % 2 == 0
        add("T" if trusted else "P", text.encode(), ids_of(t, text, trusted))
    for text in PROSE[:8] + DIGITS + SPACE[-14:] if not args.check else []:
        add("G", text.encode(), ids_of(gpt2, text, False))
    for _ in range(args.check // 10 or 60):
        text = texts.next(8)
        add("G", text.encode(), ids_of(gpt2, text, False))
    for _ in range(args.check // 10 or 40):
        data = bytearray(texts.next(6).encode())
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), rng.randrange(128, 256)))
        add("P", bytes(data), ids_of(t, data.decode("utf-8", "replace"), False))
    short = [i for i, x in enumerate(tokens) if len(x) <= 3]
    for _ in range(args.check // 10 or 60):
        ids = [rng.choice(short) if rng.random() < 0.6 else rng.randrange(len(tokens)) for _ in range(rng.randint(1, 10))]
        ids = [rng.randrange(17) if rng.random() < 0.1 else i for i in ids]
        add("D", t.decode(ids, skip_special_tokens=False).encode(), ids)
        add("H", t.decode(ids, skip_special_tokens=True).encode(), ids)

    with open(args.out, "w", encoding="utf-8", newline="\n") as f:
        f.write("# Golden ids of the tokenizer of SmolLM2 (tokenizer.ggml.pre smollm, %d tokens, %d merges).\n" % (len(tokens), len(merges)))
        f.write("# Made by tests/golden/tokenizer_make.py; tokenizers %s, gguf %s, Unicode %s, seed %d.\n" % (
            importlib.metadata.version("tokenizers"), importlib.metadata.version("gguf"), unicodedata.unidata_version, args.seed))
        f.write("# A line: kind, tab, text, tab, ids (- for none). In the text \\xNN is a byte.\n")
        f.write("# P text to ids, not trusted; T the same, trusted: control tokens count.\n")
        f.write("# G as P, but with the same vocabulary under tokenizer.ggml.pre gpt-2.\n")
        f.write("# D ids to text with control tokens; H the same without them.\n")
        f.write("\n".join(lines) + "\n")
    print("%s: %d cases" % (args.out, len(lines)), file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default=MODEL)
    p.add_argument("--out", default=OUT)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--check", type=int, default=0, metavar="N", help="N random texts only")
    p.add_argument("--corpus", metavar="FILE", help="and the bytes of this file")
    write(p.parse_args())


if __name__ == "__main__":
    main()
