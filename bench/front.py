#!/usr/bin/env python3
"""How valet behaves when more is asked of it than it can do.

  refusals     1,000 requests/s beyond a full house: how soon each is refused, and whether those
               that were accepted keep their pace
  interactive  the first token of urgent requests while class low fills the machine, beside an
               idle machine and the time of a step
  ends         SIGTERM and reloads under load: every client gets an end, and the exit status is 0

Figures of one machine at one time; the client takes CPU time from the server, so its share is
shown. Exit status 1 if a client was left without an end; figures alone fail nothing.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from common import LOAD, MODEL, VALET, load, load_ended, load_started, machine_line, need, row, total, valet_server

SLOTS = 16
QUEUE = 16


# ---- refusals ----


def refusals(args):
    """Closed loop that fills the house, then the flood, in turn."""
    span = ("--duration", args.seconds, "--warmup", args.seconds / 4)
    calm, flood = [], []
    with valet_server("--max-num-seqs", SLOTS, "--max-queue-depth", QUEUE, *args.flags, model=args.model) as server:
        common = ("--pid", server.process.pid, *span)
        for n in range(args.rounds):
            calm.append(load(server.port, *common, "--clients", SLOTS + QUEUE // 2, "--seed", 2 * n))
            server.wait_idle(60)
            flood.append(
                load(server.port, *common, "--rate", args.rate, "--connections", 1024, "--seed", 2 * n + 1)
            )
            server.wait_idle(60)
    refused = [run["outcomes"]["refused"] for run in flood]
    print(f"refusals: {args.rate:g} requests/s offered to {SLOTS} slots and {QUEUE} places in the queue")
    row("sent", [run["sent"] / args.seconds for run in flood], "per s", 0)
    row("refused", [count / args.seconds for count in refused], "per s", 0)
    for percent in ("p50", "p99", "max"):
        row(f"last byte sent to first byte of refusal, {percent}", [r["refusal_ms"].get(percent, 0) for r in flood], "ms", 3)
    row("the same from when it was due, p99", [r["refusal_due_ms"].get("p99", 0) for r in flood], "ms", 3)
    row("accepted, with the flood", [run["steady_tokens_per_s"] for run in flood], "tokens/s", 1)
    row("accepted, without", [run["steady_tokens_per_s"] for run in calm], "tokens/s", 1)
    ratios = [f["steady_tokens_per_s"] / c["steady_tokens_per_s"] for f, c in zip(flood, calm)]
    row("with / without", ratios, "", 3)
    row("between tokens p99, with the flood", [r["between_tokens_ms"]["p99"] for r in flood], "ms", 1)
    row("between tokens p99, without", [r["between_tokens_ms"]["p99"] for r in calm], "ms", 1)
    row("CPU of the load generator, with the flood", [100 * r["client"]["share"] for r in flood], "% of 1", 1)
    print("  Retry-After, seconds:", json.dumps(flood[-1]["retry_after_s"]))
    print("  outcomes of the last flood:", outcomes_text(flood[-1]))
    return True


def outcomes_text(report):
    seen = {name: count for name, count in report["outcomes"].items() if count}
    return ", ".join(f"{count} {name}" for name, count in seen.items()) + f"; {report['unsent']} unsent"


# ---- interactive ----


def steps(server):
    metrics = server.metrics()
    return total(metrics, "valet_steps_total"), total(metrics, "valet_step_seconds_total")


def ask_urgently(server, args, seed):
    """Urgent requests at random times, far apart enough not to wait for each other."""
    return load(
        server.port, "--rate", args.urgent_rate, "--poisson", "--requests", args.requests, "--connections", 16,
        "--max-tokens", 8, "--priority", "high", "--seed", seed,
    )  # fmt: skip


def interactive(args):
    alone, loaded, step_ms, low = [], [], [], []
    with valet_server("--max-num-seqs", SLOTS, *args.flags, model=args.model) as server:
        for n in range(args.rounds):
            alone.append(ask_urgently(server, args, 3 * n + 1))
            flood = load_started(
                server.port, "--clients", 2 * SLOTS, "--duration", 3600, "--max-tokens", 128, "--priority", "low",
                "--seed", 3 * n + 2,
            )  # fmt: skip
            try:
                time.sleep(args.seconds / 4)  # the machine fills
                count, seconds = steps(server)
                loaded.append(ask_urgently(server, args, 3 * n + 3))
                count_end, seconds_end = steps(server)
            finally:
                flood.send_signal(signal.SIGINT)
            low.append(load_ended(flood))
            step_ms.append(1000 * (seconds_end - seconds) / max(1, count_end - count))
    print(f"interactive: {args.requests} requests of class high beside {2 * SLOTS} clients of class low")
    unloaded = [run["first_token_due_ms"]["p99"] for run in alone]
    busy = [run["first_token_due_ms"]["p99"] for run in loaded]
    row("first token, nothing else, p50", [run["first_token_due_ms"]["p50"] for run in alone], "ms", 1)
    row("first token, nothing else, p99", unloaded, "ms", 1)
    row("first token, beside class low, p50", [run["first_token_due_ms"]["p50"] for run in loaded], "ms", 1)
    row("first token, beside class low, p99", busy, "ms", 1)
    row("a step beside class low, mean", step_ms, "ms", 1)
    row("class low meanwhile", [run["tokens_per_s"] for run in low], "tokens/s", 1)
    goals = [max(2 * u, u + 2 * s) for u, s in zip(unloaded, step_ms)]
    row("goal: max(2 x alone, alone + 2 steps)", goals, "ms", 1)
    met = sum(b <= g for b, g in zip(busy, goals))
    print(f"  met in {met} of {len(goals)} rounds; outcomes: {outcomes_text(loaded[-1])}")
    return True


# ---- ends ----


def is_good_end(report, allowed):
    """Every request has an end of an allowed kind."""
    outcomes = report["outcomes"]
    others = sum(count for name, count in outcomes.items() if name not in allowed)
    return others == 0 and sum(outcomes.values()) == report["sent"]


def verdict(what, good, report, more):
    print(f"  {what}: {'ok' if good else 'FAILED'}; {outcomes_text(report)}; {more}")
    return good


def end_under_load(args):
    with valet_server("--max-num-seqs", SLOTS, *args.flags, model=args.model) as server:
        process = load_started(server.port, "--clients", SLOTS + QUEUE, "--duration", 3600, "--seed", 7)
        time.sleep(args.seconds / 4)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(120)
        took = time.monotonic() - start
        process.send_signal(signal.SIGINT)
        report = load_ended(process)
    good = code == 0 and is_good_end(report, {"done", "refused", "error_event", "unreachable"})
    return verdict("SIGTERM under load", good, report, f"exit status {code} after {took:.1f} s")


def write_settings(path, depth):
    path.write_text(f"pool:\n  max_queue_depth: {depth}\n")


def reload_under_load(args):
    with tempfile.TemporaryDirectory(prefix="valet-bench-") as folder:
        settings = Path(folder, "valet.yaml")
        write_settings(settings, 100)
        flags = ("--config", settings, "--max-num-seqs", SLOTS, *args.flags)
        with valet_server(*flags, model=args.model) as server:
            process = load_started(server.port, "--clients", SLOTS + QUEUE, "--duration", args.seconds, "--seed", 8)
            for n in range(10):
                time.sleep(args.seconds / 12)
                write_settings(settings, 100 + n)
                server.process.send_signal(signal.SIGHUP)
            report = load_ended(process)
            reloads = server.log().count("event=server.reloaded")
            code = server.end()
    good = code == 0 and reloads > 0 and is_good_end(report, {"done"})
    return verdict("reload under load", good, report, f"{reloads} reloads, exit status {code}")


def ends(args):
    print("ends:")
    good = end_under_load(args)
    return reload_under_load(args) and good


# ---- the program ----

SCENARIOS = {"refusals": refusals, "interactive": interactive, "ends": ends}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="some of those above (default: all)")
    parser.add_argument("--model", default=MODEL, type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="times that each figure is taken (default 3)")
    parser.add_argument("--seconds", type=float, default=20, help="length of a phase (default 20)")
    parser.add_argument("--rate", type=float, default=1000, help="requests/s of the flood (default 1000)")
    parser.add_argument("--requests", type=int, default=100, help="urgent requests of a phase (default 100)")
    parser.add_argument("--urgent-rate", type=float, default=2, help="of them a second (default 2)")
    parser.add_argument("--threads", type=int, help="kernel threads of the server")
    args = parser.parse_args()
    unknown = set(args.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    need(VALET, LOAD)
    args.flags = ("--threads", args.threads) if args.threads else ()
    print(f"# {machine_line()}")
    good = True
    for name in args.scenarios or SCENARIOS:
        good = SCENARIOS[name](args) and good
    sys.exit(not good)


if __name__ == "__main__":
    main()
