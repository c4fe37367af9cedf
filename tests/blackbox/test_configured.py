"""What the configuration switches on: keys, TLS, Unix sockets, classes, deadlines, reload."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from valet_server import (
    ANSWER_S,
    MODEL,
    SLOW,
    Stream,
    chat_body,
    content_of,
    request,
    run_valet,
    total,
    wait_until,
)

KEY = "sk-test-0123456789abcdef"
ADMIN = "sk-test-fedcba9876543210"
BODY = chat_body("Say hello.", max_tokens=2)


def keys_file(folder, text):
    path = folder / "keys"
    path.write_text(text)
    path.chmod(0o600)
    return path


def ask(server, key=None, body=BODY, **headers):
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return request(server.port, "POST", "/v1/chat/completions", body, headers=headers)


def content_of_event(event):
    return content_of(json.loads(event))


def reload(server, word="event=server.reloaded"):
    before = server.log().count(word)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log().count(word) > before, 10 * SLOW, word)


def test_only_who_has_a_key_is_served(start_server, tmp_path):
    path = keys_file(tmp_path, f"{KEY} editors models=other\n{ADMIN} ops scopes=infer,metrics\n")
    server = start_server("--api-keys-file", str(path))
    assert ask(server).status == 401
    wrong = ask(server, "sk-test-aaaaaaaaaaaaaaaa")
    assert wrong.status == 401 and wrong.error()["code"] == "invalid_api_key"
    assert wrong.headers["www-authenticate"].startswith("Bearer")
    assert ask(server, KEY).error()["code"] == "model_denied"
    assert ask(server, ADMIN).status == 200
    assert request(server.port, "GET", "/metrics").status == 401
    assert request(server.port, "GET", "/metrics", headers={"X-Api-Key": KEY}).status == 403
    assert request(server.port, "GET", "/metrics", headers={"X-Api-Key": ADMIN}).status == 200
    assert request(server.port, "GET", "/health").status == 200, "open to all"
    assert KEY not in server.log()


def test_reload_takes_new_keys_and_keeps_old_ones_if_the_file_is_wrong(start_server, tmp_path):
    path = keys_file(tmp_path, f"{KEY} editors\n")
    server = start_server("--api-keys-file", str(path))
    assert ask(server, KEY).status == 200 and ask(server, ADMIN).status == 401
    keys_file(tmp_path, f"{ADMIN} ops\n")
    reload(server)
    assert ask(server, KEY).status == 401 and ask(server, ADMIN).status == 200
    keys_file(tmp_path, "short x\n")
    reload(server, "event=server.reload_failed")
    assert ask(server, ADMIN).status == 200


def test_reload_while_a_stream_runs_loses_nothing(start_server, tmp_path):
    config = tmp_path / "valet.yaml"
    config.write_text("pool: { max_queue_depth: 7 }\n")
    server = start_server("--config", str(config))
    with Stream(server.port, "Count to a hundred.", max_tokens=64, ignore_eos=True) as stream:
        events = stream.events()
        next(events)
        config.write_text("pool: { max_queue_depth: 9 }\nserver: { port: 1 }\n")
        reload(server)
        assert list(events)[-1] == "[DONE]"
    log = server.log()
    assert "event=config.changed key=pool.max_queue_depth" in log


def test_a_public_address_needs_keys(tmp_path):
    run = run_valet("serve", MODEL, "--host", "0.0.0.0", "--port", "0")
    assert run.returncode == 1 and "API keys" in run.stderr


def test_a_unix_socket_serves_beside_a_port(start_server, tmp_path):
    path = tmp_path / "valet.sock"
    config = tmp_path / "valet.yaml"
    config.write_text(f"server: {{ host: [127.0.0.1, 'unix:{path}'] }}\n")
    server = start_server("--config", str(config), host=None)
    assert os.stat(path).st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(ANSWER_S)
        s.connect(str(path))
        s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: valet\r\nConnection: close\r\n\r\n")
        assert s.recv(12) == b"HTTP/1.1 200"
    server.stop()
    assert not path.exists()


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl program to make a certificate")
def test_tls(start_server, tmp_path):
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    key.chmod(0o600)
    server = start_server("--set", f"server.tls.cert={cert}", "--set", f"server.tls.key={key}")
    context = ssl.create_default_context(cafile=str(cert))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=ANSWER_S)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    assert request(server.port, "GET", "/health").status == 400, "plain HTTP gets a plain answer"


def test_a_small_mark_for_slow_readers_still_serves(start_server):
    server = start_server("--set", "server.stream_pause_bytes=4KiB")
    with Stream(server.port, "Count to ten.", max_tokens=64, ignore_eos=True, logprobs=True, top_logprobs=20) as stream:
        assert list(stream.events())[-1] == "[DONE]"


def test_a_deadline_that_passes_while_parked_is_an_error_in_time(start_server):
    server = start_server("--max-num-seqs", "1")
    with Stream(server.port, "Tell me a long story.", max_tokens=400, ignore_eos=True) as stream:
        events = stream.events()
        while not content_of_event(next(events)):
            pass
        late = ask(server, **{"X-Valet-Deadline-Ms": "300"})
        assert late.status == 503 and late.error()["code"] == "deadline_expired"
        impatient = ask(server, **{"X-Valet-Queue-Timeout-Ms": "300"})
        assert impatient.status == 503 and impatient.error()["code"] == "queue_timeout"
    server.wait_idle(10 * SLOW)


def test_speculation_says_the_same_and_is_counted(start_server):
    """A text that repeats itself: guesses come true, and the answer is that without them."""
    prompt = "one two three four five, " * 3 + "one two"
    body = {"prompt": prompt, "max_tokens": 40, "temperature": 0, "ignore_eos": True}
    plain = start_server("--no-speculation")
    guessing = start_server()
    answers = [request(s.port, "POST", "/v1/completions", body) for s in (plain, guessing)]
    assert [a.status for a in answers] == [200, 200]
    assert answers[0].json()["choices"] == answers[1].json()["choices"]
    assert total(plain.metrics(), "valet_draft_tokens_total") == 0
    metrics = guessing.metrics()
    guessed, right = (total(metrics, f"valet_draft_{name}_total") for name in ("tokens", "accepted_tokens"))
    assert guessed >= right > 0
    assert total(metrics, "vllm:spec_decode_num_draft_tokens_total") == guessed
    assert total(metrics, "vllm:spec_decode_num_accepted_tokens_total") == right
    assert total(metrics, "valet_steps_total") < total(plain.metrics(), "valet_steps_total")


def test_urgent_work_takes_the_place_of_low_work(start_server):
    """Low work gives its slots back, comes back, and says what it says alone."""
    server = start_server("--max-num-seqs", "2")
    fields = dict(max_tokens=96, ignore_eos=True, seed=5, temperature=1)
    alone = ask(server, body=chat_body("Tell me of the sea.", **fields)).text()
    low = {"X-Valet-Priority": "low"}
    with Stream(server.port, "Tell me of the sea.", headers=low, **fields) as first:
        events = first.events()
        text = ""
        while not text:
            text += content_of_event(next(events))
        body = chat_body("Hello!", max_tokens=8, ignore_eos=True, n=2)
        assert ask(server, body=body, **{"X-Valet-Priority": "high"}).status == 200
        for event in events:
            if event != "[DONE]":
                text += content_of_event(event)
    assert text == alone
    metrics = server.metrics()
    assert total(metrics, "valet_preemptions_total") > 0
    assert total(metrics, "vllm:num_preemptions_total") > 0
    waits = {labels["class"]: count for labels, count in metrics["valet_queue_seconds_count"]}
    assert waits["low"] == 1 and waits["high"] == 1 and waits["critical"] == 0
    last = [count for labels, count in metrics["valet_inference_seconds_bucket"] if labels["le"] == "+Inf"]
    assert sum(last) == total(metrics, "valet_inference_seconds_count")
    server.wait_idle(10 * SLOW)


@pytest.mark.parametrize("value", ["sometimes", "", "9"])
def test_a_wrong_priority_names_its_header(server, value):
    answer = ask(server, **{"X-Valet-Priority": value})
    assert answer.status == 400
    assert answer.error()["param"].lower() == "x-valet-priority"
