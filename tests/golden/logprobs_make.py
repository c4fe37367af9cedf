#!/usr/bin/env python3
"""Makes logprobs_smollm2.txt: the logprob of every token of fixed texts under the default model.

    /tmp/golden/bin/python tests/golden/logprobs_make.py \\
        models/smollm2-135m-instruct-q4_1.gguf tests/golden/logprobs_smollm2.txt

The forward pass is forward_make.py's: float64 from the dequantised weights.
"""

import argparse
import importlib.metadata
import re
import sys

import gguf
import numpy as np
import tokenizers

from forward_make import Model, sha256_of, tokenizer_from

TOKENS_MAX = 96  # of a text

TEXTS = [
    ("prose", "The harbour lay still in the early light, and the fishing boats, painted red and green, rocked so gently that their masts hardly moved. An old woman carried two buckets of water up the stone steps, stopped half way, looked back at the sea, and smiled as if it had told her something. Nobody else was awake but the gulls."),
    ("news", "The city council voted on Tuesday to extend opening hours at three public libraries, citing a rise in visitors of nearly twelve percent since the spring. Funding will come from a reserve that had been set aside for road repairs, a decision that two members opposed. The new hours begin on the first of March."),
    ("code_c", "static int compare(const void *a, const void *b)\n{\n    const struct item *x = a;\n    const struct item *y = b;\n    if (x->key != y->key)\n        return x->key < y->key ? -1 : 1;\n    return strcmp(x->name, y->name);\n}\n\nint main(void)\n{\n    qsort(items, count, sizeof items[0], compare);\n    return 0;\n}\n"),
    ("code_py", "def moving_average(values, width):\n    \"\"\"Mean of each window of `width` values.\"\"\"\n    total = sum(values[:width])\n    result = [total / width]\n    for i in range(width, len(values)):\n        total += values[i] - values[i - width]\n        result.append(total / width)\n    return result\n"),
    ("json", "{\"id\": 4711, \"name\": \"Ada Lovelace\", \"tags\": [\"math\", \"engine\"], \"active\": true, \"score\": 12.75, \"address\": {\"street\": \"St James's Square\", \"city\": \"London\", \"zip\": null}, \"notes\": \"first \\\"programmer\\\"\\n\"}"),
    ("maths", "Let f(x) = x^3 - 3x + 1. Then f'(x) = 3x^2 - 3 = 3(x - 1)(x + 1), so f has a local maximum at x = -1 with f(-1) = 3 and a local minimum at x = 1 with f(1) = -1. Since f(-2) = -1 < 0, f(0) = 1 > 0 and f(2) = 3 > 0, the equation f(x) = 0 has three real roots."),
    ("numbers", "1 2 3 5 8 13 21 34 55 89 144 233 377 610 987 1597 2584 4181 6765 10946 17711 28657 46368 75025"),
    ("french", "Le matin, les marchands installent leurs étals sur la place ; on y trouve du fromage, des pommes, du miel et, parfois, des livres anciens que personne n'achète. Vers midi, tout le monde se retrouve au café pour parler de la pluie et du beau temps."),
    ("german", "Die Straße führte über einen kleinen Hügel, hinter dem man schon die Türme der Stadt sehen konnte. Größer, als er sie in Erinnerung hatte, und doch irgendwie müder."),
    ("russian", "Москва, 12 марта. В старом доме на углу улицы снова зажгли свет."),
    ("chinese", "今天的天气很好，我们一起去公园散步吧。"),
    ("arabic", "كان الجو جميلا في الصباح"),
    ("emoji", "Great job team! 🎉🎉 See you at 5pm 👩‍💻➡️🍕 — don't be late 😅"),
    ("white", "a  b   c\t\td\n\n\n    e\r\n  \u00a0f\u3000g        h\n\t\n"),
    ("control", "bell\x07 null-free \x01\x02 escape \x1b[31mred\x1b[0m delete\x7f end"),
    ("chat", "<|im_start|>user\nWhat is the capital of Australia, and why is it not Sydney?<|im_end|>\n<|im_start|>assistant\nThe capital of Australia is Canberra. It was chosen as a compromise between Sydney and Melbourne, which both wanted to be the capital.<|im_end|>\n"),
]

HEADER = """\
# The logprob of each token of fixed texts under the default model, computed in float64 from
# the dequantised weights. README.md beside this file says how to remake it.
#
# made by  tests/golden/logprobs_make.py
# with     python {python}, numpy {numpy}, gguf {gguf}, tokenizers {tokenizers}
# model    smollm2-135m-instruct-q4_1.gguf
# sha256   {sha256}
#
# Lines that start with '#' come before the first text and nowhere else. A text:
#   text NAME n
#   id ... id               n of them
#   logprob ... logprob     n-1 of them: of the second token and all that follow
"""


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("model")
    args.add_argument("output")
    args = args.parse_args()
    reader = gguf.GGUFReader(args.model)
    tok = tokenizer_from(reader)
    model = Model(reader)
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
        for name, text in TEXTS:
            ids = tok.encode(text, add_special_tokens=False).ids[:TOKENS_MAX]
            model.clear()
            logits = model.forward(ids)
            top = logits.max(axis=-1, keepdims=True)
            logprobs = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
            given = logprobs[np.arange(len(ids) - 1), ids[1:]]
            print(f"{name}: {len(ids)} tokens, mean nll {-given.mean():.4f}", file=sys.stderr)
            out.write(f"text {name} {len(ids)}\n")
            out.write(" ".join(map(str, ids)) + "\n")
            out.write(" ".join(f"{x:.6f}" for x in given) + "\n")


if __name__ == "__main__":
    main()
