#!/usr/bin/env python3
"""What valet takes beside the kernels' work, each figure beside what it is held against.

  load      from the start of the process to a server that is ready, the file in the page cache
  hit       the first token of a prompt that the prefix cache knows, in steps of one stream
  waiting   the time between tokens with 16 running and 1 or 256 waiting
  loop      the share of the time that the engine spends in steps while 16 clients have work
"""

import argparse
import subprocess
import time
from pathlib import Path

from common import LOAD, MODEL, VALET, load, load_ended, load_started, machine_line, need, row, total, valet_server

SLOTS = 16
WAITING = 256
PROMPT_WORDS = 1000


def start_seconds(args):
    """Until the log says that the server is ready."""
    start = time.monotonic()
    process = subprocess.Popen(
        [VALET, "serve", args.model, "--port", "0"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        for line in process.stderr:
            if "event=server.ready" in line:
                return time.monotonic() - start
        raise SystemExit("the server ended before it was ready")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def costs_of_load(args):
    Path(args.model).read_bytes()
    row("load: until ready", [1000 * start_seconds(args) for _ in range(args.rounds)], "ms", 0)


def costs_of_hit(args):
    cold, hit, ratio = [], [], []
    with valet_server("--no-speculation", model=args.model) as server:
        for n in range(args.rounds):
            one = ("--requests", 1, "--clients", 1, "--seed", n + 1, "--prompt-words", PROMPT_WORDS)
            first, second = (load(server.port, *one, "--max-tokens", 64) for _ in range(2))
            cold.append(first["first_token_ms"]["p50"])
            hit.append(second["first_token_ms"]["p50"])
            ratio.append(hit[-1] / second["between_tokens_ms"]["p50"])
    row(f"hit: first token of {PROMPT_WORDS} words, unknown", cold, "ms")
    row("hit: the same again", hit, "ms")
    row("hit: that in steps (p50 between tokens)", ratio, "steps")


def between_tokens(server, clients, args, seed):
    report = load(
        server.port, "--clients", clients, "--duration", args.seconds, "--warmup", args.seconds / 4,
        "--prompt-words", 16, "--max-tokens", 128, "--seed", seed,
    )  # fmt: skip
    server.wait_idle(120)
    return report["between_tokens_ms"]["p50"]


def costs_of_waiting(args):
    few, many = [], []
    with valet_server("--max-num-seqs", SLOTS, "--max-queue-depth", 2 * WAITING, model=args.model) as server:
        for n in range(args.rounds):
            few.append(between_tokens(server, SLOTS + 1, args, 2 * n))
            many.append(between_tokens(server, SLOTS + WAITING, args, 2 * n + 1))
    row("waiting: between tokens, 1 request waits", few, "ms")
    row(f"waiting: between tokens, {WAITING} wait", many, "ms")
    row("waiting: the second of the first", [m / f for m, f in zip(many, few)], "")


def costs_of_loop(args):
    shares = []
    with valet_server("--max-num-seqs", SLOTS, model=args.model) as server:
        for n in range(args.rounds):
            process = load_started(server.port, "--clients", SLOTS + 4, "--duration", 2 * args.seconds, "--seed", n)
            time.sleep(args.seconds / 4)
            start, inside = time.monotonic(), total(server.metrics(), "valet_step_seconds_total")
            time.sleep(args.seconds)
            inside_end, end = total(server.metrics(), "valet_step_seconds_total"), time.monotonic()
            load_ended(process)
            shares.append((inside_end - inside) / (end - start))
    row("loop: share of the time in steps, 16 running", shares, "", 3)


COSTS = {"load": costs_of_load, "hit": costs_of_hit, "waiting": costs_of_waiting, "loop": costs_of_loop}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", nargs="*", metavar="COST", help="some of those above (default: all)")
    parser.add_argument("--model", default=MODEL, type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="times that each figure is taken (default 3)")
    parser.add_argument("--seconds", type=float, default=8, help="length of a phase (default 8)")
    args = parser.parse_args()
    unknown = set(args.costs) - set(COSTS)
    if unknown:
        parser.error(f"no cost {', '.join(sorted(unknown))}; there are {', '.join(COSTS)}")
    need(VALET, LOAD)
    print(f"# {machine_line()}")
    for name in args.costs or COSTS:
        COSTS[name](args)


if __name__ == "__main__":
    main()
