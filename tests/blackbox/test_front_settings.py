"""Keys of the configuration that change answers, set in a file and changed by a reload."""

import signal
from concurrent.futures import ThreadPoolExecutor

from valet_server import (
    ANSWER_S,
    MODEL,
    SLOW,
    Stream,
    chat,
    chat_body,
    connect,
    read_answer,
    request,
    wait_until,
)

CONFIG = """
server: {{ strict_max_tokens: {strict} }}
pool: {{ max_queue_depth: 0, retry_after: {{ min_ms: {retry_ms}, max_ms: {retry_ms}, jitter: 0 }} }}
models: [{{ path: {model}, name: the-model, aliases: [short, org/other.name] }}]
"""


def write(path, **values):
    path.write_text(CONFIG.format(model=MODEL, **values))


def reload(server):
    before = server.log().count("event=server.reloaded")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log().count("event=server.reloaded") > before, 10 * SLOW, "a reload")


def test_settings_have_their_effect_and_a_reload_changes_them(start_server, tmp_path):
    path = tmp_path / "valet.yaml"
    write(path, strict="true", retry_ms=12000)
    server = start_server("--config", str(path), "--max-num-seqs", "1", "--ctx-size", "512")
    assert "no_effect" not in server.log()

    for name in ("the-model", "short", "org/other.name"):
        answer = chat(server.port, "Hi.", model=name, max_tokens=1)
        assert answer.status == 200 and answer.json()["model"] == "the-model"
    assert chat(server.port, "Hi.", model="other.name").status == 404
    assert server.get_json("/v1/models/short")["aliases"] == ["short", "org/other.name"]

    long = chat(server.port, "Hi.", max_tokens=512)
    assert long.status == 400
    assert (long.error()["code"], long.error()["param"]) == ("context_length_exceeded", "max_tokens")

    with Stream(server.port, "Tell me a story.", max_tokens=400, ignore_eos=True) as stream:
        next(stream.events())
        full = chat(server.port, "Hi.", max_tokens=1)
        assert (full.status, full.error()["code"]) == (429, "queue_full")
        assert (full.headers["retry-after"], full.headers["retry-after-ms"]) == ("12", "12000")
        write(path, strict="false", retry_ms=250)
        reload(server)
        full = chat(server.port, "Hi.", max_tokens=1)
        assert (full.headers["retry-after"], full.headers["retry-after-ms"]) == ("1", "250")
        assert full.error()["retry_after_ms"] == 250
    server.wait_idle(10 * SLOW)
    assert chat(server.port, "Hi.", max_tokens=512, stop=["."]).status == 200
    assert request(server.port, "GET", "/v1/models/short").status == 200


KEYS = """
sk-test-0123456789abcdef editors max_running=1
sk-test-fedcba9876543210 others rpm=2
"""


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_a_key_runs_as_many_requests_as_it_may_and_the_rest_wait(start_server, tmp_path):
    path = tmp_path / "keys"
    path.write_text(KEYS)
    path.chmod(0o600)
    server = start_server("--api-keys-file", str(path), "--max-num-seqs", "4")
    editors, others = bearer("sk-test-0123456789abcdef"), bearer("sk-test-fedcba9876543210")

    def ask(headers, **fields):
        body = chat_body("Hi.", max_tokens=1, **fields)
        return request(server.port, "POST", "/v1/chat/completions", body, headers=headers)

    def pool():
        answer = request(server.port, "GET", "/pools", headers=editors)
        return answer.json()["pools"][0]

    with Stream(server.port, "Tell me a story.", headers=editors, max_tokens=400, ignore_eos=True) as stream:
        events = stream.events()
        next(events)
        with ThreadPoolExecutor(1) as worker:
            second = worker.submit(ask, editors)
            wait_until(lambda: pool()["queued"] == 1, ANSWER_S, "the second request waits")
            assert ask(others).status == 200, "another tenant is not held up"
            assert pool()["running"] == 1 and pool()["queued"] == 1 and not second.done()
            stream.close()
            assert second.result().status == 200, "and runs when the first one has ended"

    # A request beyond the rate is refused when its head is here.
    assert ask(others).status == 200
    with connect(server.port) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer sk-test-fedcba9876543210\r\nContent-Length: 1000000\r\n\r\n"
        )
        refused = read_answer(sock)
    assert refused.status == 429 and refused.error()["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-request-id"].startswith("req_")
