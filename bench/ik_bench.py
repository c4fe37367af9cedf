"""Speed of ik_llama.cpp on a model file, measured as `valet bench` measures; prints JSON.

Runs under the Python that has ik-llama-cpp-python (bench/peers starts it). Nothing is sampled:
a step is one call of llama_decode, whose logits are there when it returns.
"""

import argparse
import json
import os
import sys
import time

DEPTH = 128
STEPS = 32
BATCHES = (1, 2, 4, 8, 16, 32)
PROMPTS = (128, 512)
CONTEXT = 8192


class Bench:
    def __init__(self, api, args):
        self.api = api
        params = api.llama_model_default_params()
        params.repack_tensors = args.repack
        self.model = api.llama_model_load_from_file(args.model.encode(), params)
        if not self.model:
            sys.exit(f"{args.model} cannot be read")
        options = api.llama_context_default_params()
        options.n_ctx = CONTEXT
        options.n_batch = options.n_ubatch = 512
        options.n_seq_max = max(BATCHES)
        options.n_threads = options.n_threads_batch = args.threads
        options.flash_attn = not args.no_flash
        self.context = api.llama_init_from_model(self.model, options)
        if not self.context:
            sys.exit("no context")
        self.vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.batch = api.llama_batch_init(512, 0, 1)

    def decode(self, rows, logits):
        """rows: (token, position, sequence); logits: which of them have any."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, sequence) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = logits(i)
        start = time.perf_counter()
        code = self.api.llama_decode(self.context, batch)
        self.api.llama_get_logits_ith(self.context, len(rows) - 1)
        took = time.perf_counter() - start
        if code != 0:
            sys.exit(f"llama_decode: {code}")
        return took

    def token(self, i):
        return 1000 + i * 7919 % (self.vocab - 2000)

    def prefill(self, tokens, sequence=0):
        rows = [(self.token(i), i, sequence) for i in range(tokens)]
        return self.decode(rows, lambda i: int(i == tokens - 1))

    def clear(self):
        self.api.llama_kv_cache_clear(self.context)

    def decode_speed(self, size):
        self.clear()
        for sequence in range(size):
            self.prefill(DEPTH, sequence)
        took = 0.0
        for step in range(STEPS):
            rows = [(self.token(step + s), DEPTH + step, s) for s in range(size)]
            took += self.decode(rows, lambda _: 1)
        return size * STEPS / took

    def prefill_speed(self, tokens):
        self.clear()
        return tokens / self.prefill(tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-flash", action="store_true", help="without flash attention")
    parser.add_argument("--repack", action="store_true", help="tensors rearranged at the start (-rtr)")
    args = parser.parse_args()
    from ik_llama_cpp import _ctypes_api as api

    api.llama_backend_init()
    bench = Bench(api, args)
    bench.prefill_speed(max(PROMPTS))  # a first pass that touches all memory
    figures = [{"what": "prefill", "n": n, "tokens_per_s": bench.prefill_speed(n)} for n in PROMPTS]
    figures += [{"what": "decode", "n": n, "tokens_per_s": bench.decode_speed(n)} for n in BATCHES]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
