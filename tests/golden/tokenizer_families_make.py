#!/usr/bin/env python3
"""Writes the golden files of the pre-tokenizer families and of SentencePiece.

Small vocabularies are trained here, with each family's normalizer and pre-tokenizer set up as
in the tokenizer.json of its models, and written into the file together with texts and their
ids. The references are the packages "tokenizers" and "sentencepiece".

    pip install tokenizers sentencepiece
    python3 tests/golden/tokenizer_families_make.py       tests/golden/tokenizer_{family,spm}_*.txt

A larger comparison, not kept: N bytes of random texts for each family, broken UTF-8 included.

    python3 tests/golden/tokenizer_families_make.py --check 1000000 --seed 7 --out /tmp/families
    build/debug/tests/tokenizer/golden_tokenizer_families /tmp/families/*.txt

Or on a file of any bytes, such as that of corpus_make.py, cut anywhere: --corpus FILE. Each part
also gives a line of its ids back to text.

The same with a real model, such as those in the package "mistral-common": --spm tokenizer.model

Random texts hold only characters that this Python's Unicode assigns, because the libraries
compared follow different versions of Unicode. Where "tokenizers" normalises a text in another
way than this Python, it is left out: that package does not know the marks of newer versions.
"""

import argparse
import importlib.metadata
import io
import json
import os
import random
import re
import sys
import unicodedata

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import tokenizer_make as base

OUT = "tests/golden"
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CL100K = SUFFIX + r"|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = r"[^\r\n\p{L}\p{N}]?UPPER*LOWER+SUFFIX|[^\r\n\p{L}\p{N}]?UPPER+LOWER*SUFFIX|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+".replace("UPPER", UPPER).replace("LOWER", LOWER)
KIMI = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+SUFFIX?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*SUFFIX?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+".replace("SUFFIX", SUFFIX)
QWEN35 = SUFFIX + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK_LETTERS = "A-Za-z" + "".join(chr(int(r.split("-")[0], 16)) + ("-" + chr(int(r.split("-")[1], 16)) if "-" in r else "") for r in (
    "B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD "
    "1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 "
    "1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E "
    "2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F "
    "104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943").split())
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def digits():
    return pre_tokenizers.Digits(individual_digits=True)


# Name: passes before the byte level, whether that splits as gpt-2, form C, whole pieces first.
FAMILIES = {
    "gpt-2": ([], True, False, False),
    "command-r": ([digits()], True, True, False),
    "llama-bpe": ([split(CL100K.replace("DIGITS", r"\p{N}{1,3}"))], False, False, True),
    "qwen2": ([split(CL100K.replace("DIGITS", r"\p{N}"))], False, True, False),
    "qwen35": ([split(QWEN35)], False, True, False),
    "gpt-4o": ([split(O200K.replace("SUFFIX", SUFFIX + "?").replace("DIGITS", r"\p{N}{1,3}"))], False, False, True),
    "tekken": ([split(O200K.replace("SUFFIX", "").replace("DIGITS", r"\p{N}"))], False, False, True),
    "kimi-k2": ([split(KIMI)], False, False, True),
    "deepseek-v3": ([split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK3)], False, False, False),
    "deepseek-llm": ([split("[\r\n]"), split(r"\s?[" + DEEPSEEK_LETTERS + "]+"), split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"), split(ASIAN), digits()], False, False, False),
    "deepseek-coder": ([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(ASIAN), digits()], False, False, False),
    "viking": ([split(BLOOM), digits()], False, False, False),
    "default": ([split(r"[\p{P}\$\+<=>\^~\|]+"), split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"), split(r"\p{N}+"), split("[0-9][0-9][0-9]")], False, False, False),
}

SPECIALS = [("<|s|>", CONTROL), ("<|s|>>", CONTROL), ("<tool>", USER), ("<tool>>", USER), ("e\u0301<", USER)]

FORMS = [
    "e\u0301 \u00e9 E\u0301cole", "a\u0323\u0307 a\u0307\u0323 \u1ea1\u0307", "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00", "\uac00\u11a8", "\u212b \u2126 \u212a \u0340\u0341\u0374\u037e\u0387", "\u0958 \u0915\u093c",
    "\u2adc \u2add\u0338", "\u0344 \u0308\u0301", "\u03b1\u0345\u0301", "\u1f80 \u03b1\u0313\u0345", "a\u0300\u0301\u0302\u0303\u0304\u0316\u0317\u0318\u0319\u0327\u0328\u0300\u0316\u0300\u0316\u0300\u0316\u0300\u0316\u0301", "\u0301\u0300start",
    "\uf900\ufa0e\u2f800", "\U0001d15e", "\u304b\u3099\u304d\u309a", "\u0b47\u0b3e \u0cc6\u0cc2\u0cd5", "\U00011099\U000110ba", "I\u0307 i\u0307\u0323", "<tool>\u0301", "e<tool>\u0301e\u0301<x",
]
CASES = [
    "getUserName iPhone HTTPServer XMLHttpRequest parseJSONFile ABCdef aBcD McDonald's DON'T don'T it'\u017f it'S we'LL x'd're", "//\n/x ;\r\n/\n", "\u3021\u3022\u3029\u4e00 \u3038\u303b \u2e80\u2ff0", "\u4e2d\u6587abc\u4e2d'll \u65e5\u672c\u8a9e\u30ab\u30ca\u3005\u3007\u3021", "a/b/c //\n/ ./\r\n ;//\n\n x",
    "\u01c5\u01c8 \u00aa\u00ba \u02b0\u02b1 A\u02b0b \u0915\u094d\u0937\u093f \u0e01\u0e33\u0e48", "(a) {b} [c] +d -e .f $g _h #i @j %k", "1234567 12 123 1,234.5 \u0661\u0662\u0663\u0664 \u00b2\u00b3\u00bd\u2167\u3007", "\u3042\u30a2\uff71\u30fb\u3002\u300cx\u300d\uff01\uff1f\uff5e",
    "a   \n  b  \r\n\r\n  c\t\t\n", "end  ", "end \n", "\n  ", "   x", "x   ", "\u00a0\u00a0x \u3000\u3000", "\uac00\ub098\ub2e4 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0645\u0631\u062d\u0628\u0627\u060c \u0928\u092e\u0938\u094d\u0924\u0947\u0964 \u06d4", "a\u0301b\u0301 \u0301x '\u0301s",
    "'\u017f '\u017fx \u017ft", "a|b(c)d|e", "\u2026\u3001\uff0c.,!?", "<tool><tool>>x e\u0301<y", "\U00016fe2\U00016fe3\U00016ff0\U00016ff1 \U00020000\u4e00\u2e80\u2ff0\u3038", "a\U00016ff0 \u4e00\u0301b",
]


class Texts(base.Texts):
    def __init__(self, rng, control):
        super().__init__(rng, control)
        assigned = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
        moving = [c for c in assigned if unicodedata.normalize("NFC", c) != c or unicodedata.combining(c)]
        pairs = [unicodedata.normalize("NFD", c) for c in assigned if len(unicodedata.normalize("NFD", c)) > 1]
        self.kinds += [
            (2, [chr(c) for c in range(0x41, 0x5B)]), (2, [chr(c) for c in range(0x4E00, 0x9FA6)] + list("\u3005\u3007")), (1, [chr(c) for c in range(0x3040, 0x3100)]), (1, moving), (1, pairs),
            (1, list("()|/.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c'\u017f")), (1, ["<tool>", "<tool>>", "<tool", "e\u0301<", "  \n", "\r\n", "/\n", "'LL", "'re"]),
        ]


def corpus_texts():
    return base.PROSE + base.CODE + base.DIGITS + base.SCRIPTS + base.SPACE + FORMS + CASES


def fixed_texts():
    return base.PROSE[:12] + base.CODE[:4] + base.DIGITS[::2] + base.SCRIPTS[::2] + base.SPACE + base.CONTROLS[::2] + [x[:60] for x in base.LONG[:8]] + FORMS + CASES


def broken(rng, text):
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 3)):
        if data:
            data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), rng.randrange(128, 256)))
    return bytes(data)


def is_settled(text):
    """Whether all versions of Unicode agree on it."""
    if any(unicodedata.category(c) == "Cn" for c in text):
        return False
    return normalizers.NFC().normalize_str(text) == unicodedata.normalize("NFC", text)


class Bpe:
    """A byte-level vocabulary: a token for each byte, one for each merge, then the others."""

    spaces = False

    def __init__(self, name, corpus):
        passes, regex, nfc, whole = FAMILIES[name]
        self.pre = pre_tokenizers.Sequence(passes + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)])
        self.head = "bpe %s" % name
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = self.pre
        t.normalizer = normalizers.NFC() if nfc else None
        t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=520, initial_alphabet=list(base.alphabet().values()), show_progress=False))
        self.merges = [tuple(m) for m in json.loads(t.to_str())["model"]["merges"]]
        letters = base.alphabet()
        tokens = [letters[b] for b in range(256)]
        for left, right in self.merges:
            if left + right not in tokens:
                tokens.append(left + right)
        # Tokens that no merge makes: found only where whole pieces come first.
        self.extra = ["".join(letters[b] for b in w.encode()) for w in ("internationalization", " Smith", "\u4e2d\u6587", "://", "\r\n\r\n", "123", " qzx", "\u00e9\u00e9")]
        self.extra = [x for x in self.extra if x not in tokens]
        tokens += self.extra
        self.specials = SPECIALS
        vocab = {x: i for i, x in enumerate(tokens)}
        self.t = Tokenizer(models.BPE(vocab=vocab, merges=self.merges, ignore_merges=whole))
        self.t.normalizer, self.t.pre_tokenizer, self.t.decoder = t.normalizer, self.pre, decoders.ByteLevel()
        for text, kind in SPECIALS:
            add = self.t.add_special_tokens if kind == CONTROL else self.t.add_tokens
            add([AddedToken(text, special=kind == CONTROL, normalized=False)])
        self.count = self.t.get_vocab_size()
        assert self.count == len(tokens) + len(SPECIALS)

    def lines(self):
        yield "letters"
        for left, right in self.merges:
            yield "m\t" + base.escape(("%s %s" % (left, right)).encode())
        for x in self.extra:
            yield "t\t%d\t0\t%s" % (NORMAL, base.escape(x.encode()))
        for text, kind in self.specials:
            yield "t\t%d\t0\t%s" % (kind, base.escape(text.encode()))

    def ids(self, text, trusted):
        return base.ids_of(self.t, text, trusted)

    def pieces(self, text):
        """The bytes of each piece that the text is split into; not normalised."""
        return [len(piece) for piece, _ in self.pre.pre_tokenize_str(text)]  # a letter for each byte

    def text(self, ids):
        return self.t.decode(ids, skip_special_tokens=True)

    def decoded(self, rng):
        ids = [rng.randrange(self.count) if rng.random() < 0.5 else rng.randrange(256) for _ in range(rng.randint(1, 10))]
        return ids, self.t.decode(ids, skip_special_tokens=False), self.t.decode(ids, skip_special_tokens=True)


SPM = {
    # Space prefix, byte tokens, user-defined symbols, words apart.
    "llama": (True, True, [], True),
    "gemma": (False, True, ["\n\n", "\n\n\n", "\u2581\u2581", "\u2581\u2581\u2581", "\u2581\u2581\u2581\u2581", "<b>", "</b>", "<bo>", "\t\t"], True),
    "plain": (True, False, ["<tool>", "<tool>>"], True),
    "phrases": (False, True, [], False),
}


def train_spm(name, corpus):
    prefix, byte_tokens, user, words = SPM[name]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, model_type="bpe", vocab_size=800 if byte_tokens else 560, byte_fallback=byte_tokens, add_dummy_prefix=prefix,
        remove_extra_whitespaces=False, normalization_rule_name="identity", split_by_whitespace=words, allow_whitespace_only_pieces=True, user_defined_symbols=user,
        control_symbols=["<|c|>", "<|c|>>"], character_coverage=0.98, minloglevel=2, max_sentence_length=100000)
    return Spm(model.getvalue(), prefix, user)


class Spm:
    def __init__(self, proto, prefix, user):
        self.prefix, self.user = prefix, user
        self.spaces = any("\u2581" in x for x in self.user)  # symbols that a written U+2581 does not match here
        self.head = "spm %s" % ("prefix" if self.prefix else "-")
        sp = self.sp = sentencepiece.SentencePieceProcessor(model_proto=proto)
        self.count = sp.get_piece_size()
        kind = lambda i: UNKNOWN if sp.is_unknown(i) else CONTROL if sp.is_control(i) else BYTE if sp.is_byte(i) else USER if sp.id_to_piece(i) in self.user else NORMAL
        self.tokens = [(kind(i), sp.get_score(i), sp.id_to_piece(i)) for i in range(self.count)]
        self.control = {x: i for i, (k, _, x) in enumerate(self.tokens) if k in (CONTROL, UNKNOWN)}
        match = lambda xs: re.compile("(" + "|".join(re.escape(x) for x in sorted(xs, key=len, reverse=True)) + ")") if xs else None
        user = [x.replace("\u2581", " ") for x in self.user]
        self.trusted, self.untrusted = match(list(self.control) + user), match(user)
        self.special = {**self.control, **{x.replace("\u2581", " "): sp.piece_to_id(x) for x in self.user}}

    def lines(self):
        for kind, score, text in self.tokens:
            yield "t\t%d\t%.9g\t%s" % (kind, score, base.escape(text.encode()))

    def pieces(self, text):
        return None

    def ids(self, text, trusted):
        """Text between special tokens is encoded as a text of its own, as Llama's tokenizer.json does."""
        if not trusted and not self.prefix:
            return self.sp.encode(text)
        match = self.trusted if trusted else self.untrusted
        out = []
        for n, part in enumerate(match.split(text) if match else [text]):
            out += [self.special[part]] if n % 2 else self.sp.encode(part)
        return out

    def text(self, ids):
        """None with the unknown token, which is U+2047 there and nothing here."""
        return None if self.sp.unk_id() in ids else self.sp.decode(ids)

    def decoded(self, rng):
        """Bytes in whole characters only: what is broken gives one U+FFFD a byte there."""
        plain = [i for i, (k, _, _) in enumerate(self.tokens) if k in (NORMAL, USER, CONTROL)]
        ids = []
        for _ in range(rng.randint(1, 8)):
            if rng.random() < 0.2 and self.tokens[-1] and self.sp.piece_to_id("<0xF0>") != 0:
                ids += [self.sp.piece_to_id("<0x%02X>" % b) for b in rng.choice("a \n\u00e9\u4e2d\U0001f600").encode()]
            else:
                ids.append(rng.choice(plain))
        return ids, None, self.sp.decode(ids)


def add_corpus(path, vocab, rng, add):
    """Both ways for each part of the corpus; returns the bytes left out."""
    left_out = 0
    for data in base.parts(path, rng):
        text = data.decode("utf-8", "replace")
        if not is_settled(text) or ("\u2581" in text and vocab.spaces):
            left_out += len(data)
            continue
        ids = vocab.ids(text, False)
        add("P", data, ids)
        back = vocab.text(ids)
        if back is not None:
            add("H", back.encode(), ids)
    return left_out


def write(path, vocab, args, rng):
    lines = list(vocab.lines())

    def add(kind, data, ids):
        lines.append("%s\t%s\t%s" % (kind, base.escape(data), " ".join(map(str, ids)) or "-"))

    control = ["<|s|>", "<|s|>>"] if isinstance(vocab, Bpe) else list(vocab.control)
    texts = Texts(rng, control)
    if args.corpus:
        args.check = os.path.getsize(args.corpus)
    if not args.check:
        for text in fixed_texts():
            add("P", text.encode(), vocab.ids(text, False))
        for text in base.SPECIAL[:8] + CASES[-4:] + ["a<|s|>b", " <|s|>> <|s|> x", "<|c|>a <|c|>> b<s></s> <unk>c", "<tool> a<|s|>\n"]:
            text = text.replace("<|im_end|>", control[0])
            add("T", text.encode(), vocab.ids(text, True))
        for data in base.ILL_FORMED:
            add("P", data, vocab.ids(data.decode("utf-8", "replace"), False))
    size, count = 0, 0
    if args.corpus:
        left_out = add_corpus(args.corpus, vocab, rng, add)
    while not args.corpus and (size < args.check if args.check else count < 60):
        text = texts.next(8 if rng.random() < 0.9 else 60)
        trusted = count % 4 == 1
        data = broken(rng, text) if count % 4 == 0 else text.encode()
        text = data.decode("utf-8", "replace")
        if not is_settled(text) or ("\u2581" in text and vocab.spaces):
            continue
        add("T" if trusted else "P", data, vocab.ids(text, trusted))
        count += 1
        size += len(data)
    for _ in range(args.check // 20 or 40):
        text = texts.next(12)
        if vocab.pieces(text) is not None and is_settled(text):
            add("S", text.encode(), vocab.pieces(text))
    for text in CASES + base.SPACE[::3] if not args.check else []:
        if vocab.pieces(text) is not None:
            add("S", text.encode(), vocab.pieces(text))
    for _ in range(args.check // 1000 or 30):
        ids, shown, hidden = vocab.decoded(rng)
        if shown is not None:
            add("D", shown.encode(), ids)
        add("H", hidden.encode(), ids)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write("# Made by tests/golden/tokenizer_families_make.py; tokenizers %s, sentencepiece %s, Unicode %s, seed %d.\n" % (
            importlib.metadata.version("tokenizers"), importlib.metadata.version("sentencepiece"), unicodedata.unidata_version, args.seed))
        f.write("# First the vocabulary. letters: a token for each byte. m, a merge: a token too, unless it is there.\n")
        f.write("# t, a token: type, score, text. Then a line for each case: kind, text, ids (- for none).\n")
        f.write("# P text to ids, not trusted; T trusted. D ids to text with control tokens; H without.\n")
        f.write("# S text to the bytes of each piece that it is split into before merging.\n")
        f.write(vocab.head + "\n")
        f.write("\n".join(lines) + "\n")
    note = ", %d bytes of the corpus left out" % left_out if args.corpus else ""
    print("%s: %d lines, %d bytes%s" % (path, len(lines), os.path.getsize(path), note), file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=OUT)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--check", type=int, default=0, metavar="N", help="N bytes of random texts for each family only")
    p.add_argument("--corpus", metavar="FILE", help="the bytes of this file for each family")
    p.add_argument("--only", default="", help="one family")
    p.add_argument("--spm", help="a SentencePiece model with a space prefix and no user-defined symbols")
    args = p.parse_args()
    os.makedirs(args.out, exist_ok=True)
    if args.spm:
        with open(args.spm, "rb") as f:
            write("%s/%s.txt" % (args.out, os.path.basename(args.spm)), Spm(f.read(), True, []), args, random.Random(args.seed))
        return
    corpus = [x for x in corpus_texts() if len(x) > 3]
    for kind, make, names in (("family", Bpe, FAMILIES), ("spm", train_spm, SPM)):
        for name in names:
            if args.only in ("", name):
                rng = random.Random("%s %d" % (name, args.seed))
                write("%s/tokenizer_%s_%s.txt" % (args.out, kind, name), make(name, corpus), args, rng)


if __name__ == "__main__":
    main()
