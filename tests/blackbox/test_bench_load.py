"""The load generator against a real server: it counts every request once, and what it counts is so."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from valet_server import ANSWER_S, BIN, SLOW, total, wait_until

LOAD = str(Path(BIN).parent / "valet-load")

pytestmark = pytest.mark.skipif(not os.access(LOAD, os.X_OK), reason="built without VALET_BENCH")


def command(server, *flags):
    return [LOAD, "--port", str(server.port), "--prompt-words", "12", "--json", *map(str, flags)]


def load(server, *flags):
    run = subprocess.run(command(server, *flags), capture_output=True, text=True, timeout=ANSWER_S)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert sum(report["outcomes"].values()) == report["sent"]
    return report


def seen(report):
    return {name: count for name, count in report["outcomes"].items() if count}


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_closed_loop_counts_requests_and_tokens(server, api):
    before = total(server.metrics(), "valet_generated_tokens_total")
    report = load(server, "--clients", 3, "--requests", 5, "--max-tokens", 4, "--api", api, "--pid", server.process.pid)
    assert seen(report) == {"done": 5}
    assert report["output_tokens"] == 20
    assert total(server.metrics(), "valet_generated_tokens_total") - before == 20
    assert report["prompt_tokens"] >= 5 * 12
    assert report["first_token_ms"]["count"] == report["whole_ms"]["count"] == 5
    assert 0 < report["between_tokens_ms"]["count"] <= 15
    assert report["first_token_ms"]["p50"] <= report["first_token_ms"]["max"] <= report["whole_ms"]["max"]
    assert report["server"]["cpu_s"] > 0 and report["client"]["cpu_s"] > 0
    assert report["tokens_per_s"] == pytest.approx(20 / report["wall_s"])


def test_whole_answers_are_counted_too(server):
    report = load(server, "--clients", 2, "--requests", 2, "--max-tokens", 3, "--no-stream")
    assert seen(report) == {"done": 2}
    assert report["output_tokens"] == 6 and report["first_token_ms"]["count"] == 0


def test_open_loop_sends_what_was_offered(server):
    report = load(server, "--rate", 200, "--requests", 8, "--max-tokens", 1, "--connections", 8, "--priority", "high")
    assert seen(report) == {"done": 8}
    assert report["first_token_due_ms"]["count"] == 8
    assert report["first_token_due_ms"]["max"] >= report["first_token_ms"]["min"]


def test_open_loop_without_a_free_connection_tells_what_it_did_not_send(server):
    report = load(server, "--rate", 1000, "--duration", 0.1, "--max-tokens", 32, "--connections", 1)
    assert report["sent"] + report["unsent"] == 100
    assert report["unsent"] > 0


def test_refusals_have_code_wait_and_time(start_server):
    server = start_server("--max-num-seqs", "1", "--max-queue-depth", "1")
    flags = ("--rate", 1000, "--requests", 30, "--max-tokens", 32, "--connections", 32)
    report = load(server, *flags)
    refused = report["outcomes"]["refused"]
    assert set(seen(report)) == {"done", "refused"} and refused > 0
    assert report["codes"] == [{"status": 429, "code": "queue_full", "count": refused}]
    assert report["refusal_ms"]["count"] == report["refusal_due_ms"]["count"] == refused
    assert report["refusal_ms"]["max"] > 0
    assert sum(report["retry_after_s"].values()) == refused


def test_nobody_there_is_told_apart():
    run = subprocess.run([LOAD, "--port", "1", "--json", "--requests", "2"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert seen(json.loads(run.stdout)) == {"unreachable": 2}


def test_interrupt_ends_sending_and_waits_for_what_runs(server):
    before = server.pool()["counters"]["completed"]
    process = subprocess.Popen(
        command(server, "--clients", 2, "--duration", 3600, "--max-tokens", 8), stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: server.pool()["counters"]["completed"] > before, 20 * SLOW, "an answer")
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=ANSWER_S)
    finally:
        process.kill()
    assert process.returncode == 0
    report = json.loads(text)
    assert set(seen(report)) == {"done"} and report["sent"] == report["outcomes"]["done"]


@pytest.mark.parametrize(
    "flags", [[], ["--port", "0"], ["--port", "1", "--rate", "x"], ["--port", "1", "more"], ["--port", "1", "--api", "x"]]
)
def test_wrong_usage(flags):
    run = subprocess.run([LOAD, *flags], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert run.stderr.startswith("valet-load: ")
