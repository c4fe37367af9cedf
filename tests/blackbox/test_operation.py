"""What an operator sees: health, metrics, pools, the end of the process, the command line."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from valet_server import (
    ANSWER_S,
    BIN,
    MODEL,
    SLOW,
    STOP_S,
    Stream,
    chat,
    connect,
    content_of,
    greedy,
    request,
    run_valet,
    total,
    units,
    wait_until,
)

CAPITAL = "What is the capital of Germany?"
STORY = "Tell me a long story about a fox, a bear and a river."


# ---- health and numbers ----


def test_health_and_ready(server):
    for path in ("/health", "/v1/health"):
        assert server.get_json(path)["status"] == "ok"
    assert request(server.port, "GET", "/ready").status == 200


def test_metrics_are_well_formed_and_count(server):
    answer = request(server.port, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    before = server.metrics()
    for name in (
        "valet_requests_running",
        "valet_requests_waiting",
        "valet_kv_blocks_used",
        "valet_kv_blocks_total",
        "valet_generated_tokens_total",
        "valet_prompt_tokens_total",
        "valet_refused_total",
    ):
        total(before, name)
    assert total(before, "valet_kv_blocks_total") > 0

    usage = chat(server.port, CAPITAL, temperature=0, max_tokens=4).json()["usage"]
    server.wait_idle()
    wait_until(lambda: total(server.metrics(), "valet_kv_blocks_used") == 0, 5 * SLOW, "no block in use")
    after = server.metrics()

    def grown(name):
        return total(after, name) - total(before, name)

    assert grown("valet_generated_tokens_total") == usage["completion_tokens"]
    assert grown("valet_prompt_tokens_total") == usage["prompt_tokens"]
    assert total(after, "valet_requests_running") == 0
    assert total(after, "valet_requests_waiting") == 0


def test_pools_show_one_consistent_picture(server):
    pools = server.get_json("/pools")["pools"]
    assert len(pools) == 1
    pool = pools[0]
    assert {"poolId", "state", "capacity", "used", "highWater", "queued", "running", "counters"} <= pool.keys()
    assert isinstance(pool["poolId"], str) and pool["poolId"]
    capacity, used, high = (units(pool[k]) for k in ("capacity", "used", "highWater"))
    assert capacity.keys() == used.keys() == high.keys()
    assert all(0 <= used[d] <= high[d] <= capacity[d] for d in capacity)
    assert all(isinstance(v, int) and v >= 0 for v in pool["counters"].values())
    assert server.get_json(f"/pools/{pool['poolId']}")["poolId"] == pool["poolId"]


def test_pools_show_work_while_it_runs(server):
    with Stream(server.port, STORY, temperature=0, max_tokens=300) as stream:
        assert stream.status == 200
        next(stream.events())
        pool = server.pool()
        assert pool["running"] == 1
        assert all(v > 0 for v in units(pool["used"]).values())
        assert total(server.metrics(), "valet_requests_running") == 1
    server.wait_idle()


# ---- the end ----


def rest_of(stream):
    """The events up to the end of the body, which must come in good order."""
    events = list(stream.events())
    assert events, "the stream was cut without a word"
    return events


def test_idle_server_ends_at_once(start_server):
    for sig in (signal.SIGTERM, signal.SIGINT):
        server = start_server()
        begin = time.monotonic()
        server.stop(sig)
        assert time.monotonic() - begin < 3 * SLOW


def test_open_connection_does_not_keep_the_server(start_server):
    server = start_server()
    with connect(server.port) as idle, connect(server.port) as half:
        half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 12")
        begin = time.monotonic()
        server.stop()
        assert time.monotonic() - begin < STOP_S
        assert idle.recv(1) == b""


def test_sigterm_while_streaming_gives_a_last_word(start_server):
    server = start_server()
    with Stream(server.port, STORY, temperature=0, max_tokens=60) as stream:
        events = stream.events()
        while not content_of(json.loads(next(events))):
            pass
        server.process.send_signal(signal.SIGTERM)
        rest = rest_of(stream)
    assert rest[-1] == "[DONE]"
    last = json.loads(rest[-2])
    finished = "choices" in last and last["choices"][0]["finish_reason"] in ("stop", "length")
    assert finished or {"message", "type", "code"} <= last["error"].keys(), last
    server.stop()


def test_sigterm_while_answering_whole(start_server):
    """A plain request that runs when the end begins gets an answer too."""
    server = start_server("--max-num-seqs", "1")
    with connect(server.port) as sock:
        body = json.dumps({"messages": [{"role": "user", "content": STORY}], "max_tokens": 40}).encode()
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        wait_until(lambda: server.pool()["running"] == 1, 5 * SLOW, "the request runs")
        server.process.send_signal(signal.SIGTERM)
        head = sock.makefile("rb").readline()
    assert re.match(rb"HTTP/1\.1 (200|503) ", head), head
    server.stop()


# ---- the command line ----


def complaint(run):
    """The lines for a person on stderr: not the log's reports of what goes well."""
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    return [line for line in lines if "event=" not in line or "error" in line]


def assert_one_line(run, code, *words):
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    lines = complaint(run)
    assert len(lines) == 1, run.stderr
    assert run.stdout == "", "data goes to stdout, talk to stderr"
    for word in words:
        assert word in lines[0], lines[0]


@pytest.mark.parametrize("args", [["--help"], ["serve", "--help"], ["run", "--help"], ["inspect", "--help"]])
def test_help(args):
    run = run_valet(*args)
    assert run.returncode == 0
    assert run.stderr == ""
    assert "usage" in run.stdout.lower()
    if args[0] == "serve":
        for flag in ("--host", "--port", "--max-num-seqs", "--max-queue-depth", "--ctx-size", "--threads"):
            assert flag in run.stdout


def test_version_flag():
    run = run_valet("--version")
    assert run.returncode == 0
    assert re.search(r"\d+\.\d+", run.stdout)


@pytest.mark.parametrize(
    "args, word",
    [
        (["frobnicate"], "frobnicate"),
        (["--no-such-flag"], "--no-such-flag"),
        (["serve", "--no-such-flag"], "--no-such-flag"),
        (["serve", MODEL, "--port"], "--port"),
        (["serve", MODEL, "--port", "70000"], "--port"),
        (["serve", MODEL, "--port", "x"], "--port"),
        (["serve", MODEL, "--max-num-seqs", "0"], "--max-num-seqs"),
        (["serve", MODEL, "--max-queue-depth", "-1"], "--max-queue-depth"),
        (["serve", MODEL, "two-models.gguf"], "two-models.gguf"),
        (["run", MODEL, "hello", "--temperature", "hot"], "--temperature"),
        (["inspect"], ""),
    ],
)
def test_wrong_usage(args, word):
    assert_one_line(run_valet(*args), 2, word)


@pytest.mark.parametrize("command", ["serve", "run", "inspect"])
def test_missing_model_file(command, tmp_path):
    path = str(tmp_path / "none.gguf")
    args = [command, path] + (["hello"] if command == "run" else [])
    args += ["--port", "0"] if command == "serve" else []
    assert_one_line(run_valet(*args), 1, "none.gguf")


def cut_model(folder, size):
    path = folder / f"cut_{size}.gguf"
    with open(MODEL, "rb") as src, open(path, "wb") as dst:
        if size <= 1 << 20:
            dst.write(src.read(size))
        else:
            shutil.copyfileobj(src, dst, 1 << 20)
            dst.truncate(size)
    return str(path)


@pytest.mark.parametrize("size", [0, 3, 23, 5_000, 1_000_000, 60_000_000])
def test_cut_model_file(tmp_path, size):
    path = cut_model(tmp_path, size)
    assert_one_line(run_valet("serve", path, "--port", "0"), 1, "cut_")
    if size == 5_000:
        assert_one_line(run_valet("inspect", path), 1, "cut_")
        assert_one_line(run_valet("run", path, "hello"), 1, "cut_")


def test_file_that_is_no_model(tmp_path):
    path = tmp_path / "letter.gguf"
    path.write_text("Dear reader, this is no model.\n" * 1000)
    assert_one_line(run_valet("serve", str(path), "--port", "0"), 1, "letter.gguf")
    assert_one_line(run_valet("serve", str(tmp_path), "--port", "0"), 1)


def test_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = run_valet("serve", MODEL, "--host", "127.0.0.1", "--port", port)
    assert_one_line(run, 1, port)


def test_inspect_tells_what_the_model_is():
    run = run_valet("inspect", MODEL)
    assert run.returncode == 0, run.stderr
    for word in ("llama", "8192", "49152", "Q4_1"):
        assert word.lower() in run.stdout.lower(), f"{word} is missing in:\n{run.stdout[:3000]}"


def test_inspect_plans_memory_and_looks_at_the_template():
    run = run_valet("inspect", MODEL)
    assert re.search(r"KV cache, one token +\d", run.stdout), run.stdout
    assert "chat template: 368 bytes, understood" in run.stdout
    template = run_valet("inspect", MODEL, "--template")
    assert template.stdout.startswith("{% for message in messages %}")
    assert len(template.stdout) == 368 + 1


def test_inspect_json_has_everything():
    run = run_valet("inspect", MODEL, "--json")
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["version"] == 3 and seen["bytes"] == os.path.getsize(MODEL)
    assert seen["can_serve"] is True
    assert seen["metadata"]["llama.context_length"] == 8192
    assert len(seen["metadata"]["tokenizer.ggml.tokens"]) == 49152
    assert {"name": "token_embd.weight", "type": "q8_0", "dims": [576, 49152], "bytes": 30081024} in seen["tensors"]
    assert len(seen["tensors"]) == 272
    memory = seen["memory"]
    assert memory["kv_context_bytes"] == 8192 * memory["kv_token_bytes"]
    assert seen["chat_template"]["works"] is True


def test_bench_puts_every_figure_beside_its_limit():
    run = run_valet("bench", MODEL, "--rounds", "1", "--prompt", "128", "--depth", "32", "--json", timeout=60 * SLOW)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert all(seen["limits"][name] > 0 for name in ("read_bytes_per_s", "int8_ops_per_s", "f32_ops_per_s"))
    assert (seen["limits"]["tile_ops_per_s"] > 0) == (seen["isa"] == "amx")
    prefill = [f for f in seen["figures"] if f["what"] == "prefill"]
    assert [(f["tokens"], f["depth"]) for f in prefill] == [(128, 0), (128, 32)]
    decode = [f for f in seen["figures"] if f["what"] == "decode"]
    assert [f["batch"] for f in decode] == [1, 2, 4, 8, 16, 32]
    for figure in seen["figures"]:
        assert figure["tokens_per_s"] > 0 and figure["limit"] > 0
        assert figure["fraction"] == pytest.approx(figure["tokens_per_s"] / figure["limit"], rel=1e-6)


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        run = subprocess.run([BIN, "inspect", MODEL], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert run.returncode == 1
    assert "could not be written" in run.stderr


def test_run_answers_once():
    run = run_valet("run", MODEL, CAPITAL, "--temperature", "0", timeout=ANSWER_S)
    assert run.returncode == 0, run.stderr
    assert "Berlin" in run.stdout
    assert run.stdout.endswith("\n")


def test_run_says_what_the_server_says(server):
    run = run_valet("run", MODEL, CAPITAL, "--temperature", "0")
    assert run.stdout.strip() == greedy(server.port, CAPITAL, 64).strip()
