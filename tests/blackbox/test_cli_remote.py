"""`valet ps` and `valet stats`, which ask a running server."""

import contextlib
import http.server
import json
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from cli_terminal import CTRL_C, Terminal
from valet_server import (
    ANSWER_S,
    BIN,
    SLOW,
    STOP_S,
    Stream,
    chat,
    child_env,
    content_of,
    run_valet,
    wait_until,
)

STORY = "Tell me a very long story about a fox, a bear and a river."
KEY, RIVAL, ADMIN = "sk-test-0123456789abcdef", "sk-test-fedcba9876543210", "sk-test-00000000ffffffff"


def ps(server, *flags, **env):
    return ask("ps", server, *flags, **env)


def ask(command, server, *flags, **env):
    return subprocess.run(
        [BIN, command, "--url", server.url, *flags],
        capture_output=True, text=True, timeout=ANSWER_S, env={**child_env(), **env},
    )


def one_line(run, code, *words):
    assert run.returncode == code, run
    assert run.stdout == "" and run.stderr.count("\n") == 1 and run.stderr.startswith("valet: "), run.stderr
    for word in words:
        assert word in run.stderr, run.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One row, so that a second request waits."""
    from conftest import Servers

    servers = Servers(tmp_path_factory)
    try:
        yield servers.start("--max-num-seqs", "1", "--max-queue-depth", "2")
    finally:
        servers.stop_all()


@contextlib.contextmanager
def busy(server, waiting=1):
    """A request that runs and others, more urgent ones, that wait."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Stream(server.port, STORY, ignore_eos=True, max_tokens=5000))
        events = first.events()
        while not content_of(json.loads(next(events))):
            pass
        threads = []
        for _ in range(waiting):
            fields = {"temperature": 0, "max_tokens": 1, "priority": "high"}
            threads.append(threading.Thread(target=chat, args=(server.port, "Hi."), kwargs=fields))
            threads[-1].start()
            wait_until(lambda: server.pool()["queued"] == len(threads), 5 * SLOW, "it waits")
        yield
    for thread in threads:
        thread.join()
    server.wait_idle()


# ---- ps ----


def test_ps_lists_what_runs_and_what_waits(server):
    with busy(server):
        listed = json.loads(ps(server, "--json").stdout)
        table = ps(server)
    assert listed["counts"] == {"queued": 1, "running": 1} and listed["has_more"] is False
    running, queued = listed["data"]
    assert (running["class"], running["state"], running["position"]) == ("normal", "running", None)
    assert (queued["class"], queued["state"], queued["position"]) == ("high", "queued", 1)
    assert running["prompt_tokens"] == 46 and running["generated_tokens"] >= 1
    assert queued["prompt_tokens"] == 32 and queued["generated_tokens"] == 0
    assert running["age_ms"] >= queued["age_ms"] >= 0 and queued["wait_ms"] <= queued["age_ms"]
    assert {t["tenant"] for t in listed["data"]} == {"default"}

    assert (table.returncode, table.stderr) == (0, "")
    head, first, second = table.stdout.splitlines()
    assert head.split() == ["TICKET", "CLASS", "STATE", "AGE", "POSITION", "PROMPT", "GENERATED", "TENANT"]
    assert first.split()[:3] == [running["ticket"], "normal", "running"]
    assert second.split()[:3] == [queued["ticket"], "high", "queued"]
    assert re.search(r"queued +\d+ ms +1 +32 +0  default$", second), second

    assert ps(server).stdout.splitlines() == [head], "and nothing of what ended"


def test_ps_by_port_and_by_socket(start_server, server, tmp_path):
    assert run_valet("ps", "--port", str(server.port)).returncode == 0
    assert run_valet("ps", "--url", f"127.0.0.1:{server.port}/").returncode == 0
    path = tmp_path / "socket"
    start_server("--set", f"server.host=127.0.0.1,unix:{path}")
    run = run_valet("stats", "--url", f"unix:{path}")
    assert run.returncode == 0 and run.stdout.startswith(f"{path}  smollm2"), run


def test_a_tenant_sees_its_own_and_an_admin_all(start_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(
        f"{KEY} acme scopes=infer,metrics\n{RIVAL} zeta\n{ADMIN} ops scopes=infer,admin\n"
    )
    keys.chmod(0o600)
    server = start_server("--api-keys-file", str(keys))
    with Stream(server.port, STORY, headers={"X-Api-Key": KEY}, ignore_eos=True, max_tokens=5000) as stream:
        next(stream.events())

        def tenants(*flags, **env):
            return [t["tenant"] for t in json.loads(ps(server, "--json", *flags, **env).stdout)["data"]]

        assert tenants("--api-key", KEY) == ["acme"]
        assert tenants(VALET_API_KEY=KEY) == ["acme"]
        assert tenants("--api-key", RIVAL, VALET_API_KEY=KEY) == []
        assert tenants("--api-key", ADMIN) == ["acme"]
    one_line(ps(server), 1, "401", "an API key is required", "--api-key")
    one_line(ps(server, VALET_API_KEY="sk-test-wrong"), 1, "401", "not valid")
    one_line(ask("stats", server, "--api-key", RIVAL), 1, "403", "lacks the scope metrics")
    assert ask("stats", server, "--api-key", KEY).returncode == 0


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl program to make a certificate")
def test_the_certificate_is_checked(start_server, tmp_path):
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )
    key.chmod(0o600)
    server = start_server("--set", f"server.tls.cert={cert}", "--set", f"server.tls.key={key}")
    url = f"https://127.0.0.1:{server.port}"
    assert run_valet("ps", "--url", url, "--cacert", str(cert)).returncode == 0
    one_line(run_valet("ps", "--url", url), 1, "certificate")


# ---- stats ----


def test_stats_once_where_stdout_is_no_terminal(server):
    with busy(server):
        run = ask("stats", server)
        seen = json.loads(ask("stats", server, "--json").stdout)
    assert (run.returncode, run.stderr) == (0, "")
    assert "\x1b" not in run.stdout
    lines = run.stdout.splitlines()
    assert lines[0] == f"{server.url}  {server.model_id()}"
    assert re.match(r"requests +running 1, waiting 1 of 2, oldest \d\.\d s", lines[1])
    assert "  high     running 0, waiting 1" in lines and "  normal   running 1, waiting 0" in lines
    assert re.search(r"generated [1-9][\d.]* \(mean of the time with work\); rows 1 of 1\n", run.stdout)
    assert re.search(r"KV cache +[1-9][\d.]* % used|KV cache +0\.[1-9] % used", run.stdout), run.stdout

    assert seen["model"] == server.model_id()
    assert (seen["now"]["running_normal"], seen["now"]["waiting_high"]) == (1, 1)
    assert seen["now"]["kv_blocks_used"] >= 1 and seen["total"]["generated_tokens"] >= 1
    assert seen["tokens_per_second"]["generated"] > 0
    assert None not in [*seen["now"].values(), *seen["total"].values()], "the metrics have all that is shown"


def test_stats_count_refusals(server):
    before = json.loads(ask("stats", server, "--json").stdout)["total"]
    with busy(server, waiting=2):
        assert chat(server.port, "Hi.").status == 429
    after = json.loads(ask("stats", server, "--json").stdout)["total"]
    assert after["refused_queue_full"] == before["refused_queue_full"] + 1
    assert after["completed"] == before["completed"] + 2 and after["cancelled"] == before["cancelled"] + 1


def test_stats_as_lines_of_json(server):
    process = subprocess.Popen(
        [BIN, "stats", "--url", server.url, "--json", "--interval", "0.1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_env(),
    )
    chat(server.port, "Hi.", max_tokens=4, ignore_eos=True)
    looks = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert all(look["model"] == server.model_id() for look in looks)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=STOP_S)
    assert (process.returncode, err) == (0, "")
    assert all(json.loads(line) for line in out.splitlines())


def test_stats_live_are_renewed_in_place(server, tmp_path):
    for end in ("q", CTRL_C):
        with Terminal("stats", "--url", server.url, "--interval", "0.1", state=tmp_path) as t:
            first = t.wait("in all .* MiB\n")
            lines = first.count("\n")
            t.wait(rf"\x1b\[{lines}A.*in all .*\x1b\[J$", raw=True)
            with busy(server):
                assert "mean" not in t.wait(r"running 1, waiting 1 .*generated [1-9].*in all .* MiB\n")
            t.type("x" + end)
            assert t.end() == 0
            assert t.mode_is_sane()


def test_stats_live_go_on_when_the_server_comes_back(start_server, tmp_path):
    first = start_server()
    with Terminal("stats", "--url", first.url, "--interval", "0.1", state=tmp_path) as t:
        t.wait("in all .* MiB\n")
        first.stop()
        t.wait("there is no connection; is 'valet serve' running there")
        again = start_server("--port", str(first.port), "--set", "pool.max_queue_depth=77")
        assert again.port == first.port
        t.wait("waiting 0 of 77")
        t.resize(6, 40)
        t.wait(r"\x1b\[5A[^\n]{1,60}\r\n", raw=True)
        t.send_signal(signal.SIGTERM)
        assert t.end() == -signal.SIGTERM
        assert t.mode_is_sane()


# ---- what is no valet ----


class Strange(http.server.BaseHTTPRequestHandler):
    """Answers by path what no valet would."""

    asked = []

    def do_GET(self):
        Strange.asked.append((self.path, self.headers.get("Authorization")))
        status, fields, body = self.server.answer
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def strange():
    """strange(status, body, **fields) gives the URL of a server that answers that."""
    servers = []

    def start(status, body=b"", **fields):
        made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Strange)
        made.answer = (status, fields, body)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        servers.append(made)
        return f"http://127.0.0.1:{made.server_address[1]}"

    yield start
    for made in servers:
        made.shutdown()
        made.server_close()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    for command in ("ps", "stats"):
        one_line(run_valet(command, "--port", port), 1, f"127.0.0.1:{port}", "is 'valet serve' running there?")
    one_line(run_valet("ps", "--url", "unix:/nowhere/socket"), 1, "/nowhere/socket")


def test_redirects_are_not_followed_and_no_proxy_is_used(strange):
    Strange.asked.clear()
    other = strange(200, b'{"data":[]}')
    url = strange(302, Location=f"{other}/v1/queues")
    env = {**child_env(), "http_proxy": other, "ALL_PROXY": other, "VALET_API_KEY": "sk-secret"}
    run = subprocess.run([BIN, "ps", "--url", url], capture_output=True, text=True, timeout=ANSWER_S, env=env)
    one_line(run, 1, "/v1/queues answers 302")
    assert Strange.asked == [("/v1/queues", "Bearer sk-secret")]


@pytest.mark.parametrize("command", ["ps", "stats"])
def test_answers_that_are_none(strange, command):
    one_line(run_valet(command, "--url", strange(404, b"<html>")), 1, "404; is it valet?")
    one_line(run_valet(command, "--url", strange(500, b'{"error":{"message":"a\\nb"}}')), 1, "500: a b")
    one_line(run_valet(command, "--url", strange(200, b"x" * (17 << 20))), 1, "too large")
    one_line(run_valet(command, "--url", strange(200, b'{"data":[]}', **{"Content-Length": "99"})), 1)


def test_lists_that_are_none(strange):
    for body in (b"", b"{", b"[]", b'{"data":1}'):
        one_line(run_valet("ps", "--url", strange(200, body)), 1, "no list of tickets")
    odd = run_valet("ps", "--url", strange(200, b'{"data":[7,{},{"ticket":"t","position":"x","age_ms":7384000}]}'))
    assert odd.returncode == 0
    assert odd.stdout.splitlines()[3].split() == ["t", "-", "-", "2:03:04", "-", "0", "0", "-"]


def test_metrics_that_lack_something(strange):
    body = b'# odd\nvalet_requests_running{model="a\x1b[2Jb"} 3\nvalet_requests_waiting{class="} 4\nvalet_x\n'
    run = run_valet("stats", "--url", strange(200, body))
    assert run.returncode == 0 and "running 3, waiting - of -" in run.stdout
    assert json.loads(run_valet("stats", "--json", "--url", strange(200, body)).stdout)["now"]["waiting"] is None


def test_a_terminal_is_not_driven_by_a_server(strange, tmp_path):
    url = strange(200, b'{"data":[{"ticket":"\\u001b]0;x\\u0007\\u009b2J","state":"running"}]}')
    with Terminal("ps", "--url", url, state=tmp_path) as t:
        assert t.end() == 0
    assert "?]0;x??2J" in t.seen and "\x1b" not in t.seen


@pytest.mark.parametrize(
    "flags",
    [
        ["--url", "ftp://127.0.0.1"],
        ["--url", "http://"],
        ["--url", "http://user@host"],
        ["--url", "http://host/?x"],
        ["--url", "http://host", "--port", "1"],
        ["--port", "0"],
        ["--api-key", "two words"],
        ["operand"],
    ],
)
def test_wrong_flags(flags):
    for command in ("ps", "stats"):
        one_line(run_valet(command, *flags), 2, "--help")
    one_line(run_valet("stats", "--interval", "0"), 2, "--interval")
