"""A real server on a port of its own, and the plain sockets that talk to it."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = os.environ.get("VALET_BIN") or str(ROOT / "build/debug/valet")
MODEL = str(ROOT / "models/smollm2-135m-instruct-q4_1.gguf")

# Slow builds (sanitizers) wait this many times longer and do this many times less.
SLOW = max(1, int(os.environ.get("VALET_TEST_SLOW") or 1))

START_S = 30 * min(SLOW, 6)
STOP_S = 10 * min(SLOW, 6)
ANSWER_S = 60 * min(SLOW, 4)

LISTEN = re.compile(r"event=server\.listen\b.*\baddress=127\.0\.0\.1\b.*\bport=(\d+)")
READY = re.compile(r"event=server\.ready\b")


def scaled(count, least=1):
    """How many of something a build of this speed should do."""
    return max(least, count // SLOW)


def wait_until(check, seconds, what, every_s=0.02):
    """Polls until check() is true; gives its value. The time is a limit, not a delay."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(every_s)


def child_env():
    return {k: v for k, v in os.environ.items() if k not in ("VALET_BIN", "VALET_TEST_SLOW")}


def run_valet(*args, timeout=None, cwd=None, stdin=""):
    """Runs the program to its end: CompletedProcess with text output."""
    return subprocess.run(
        [BIN, *args],
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout or ANSWER_S,
        cwd=cwd,
        env=child_env(),
    )


class Server:
    """`valet serve` as a child process; its log goes to a file."""

    def __init__(self, folder, *flags, model=MODEL, host="127.0.0.1"):
        self.log_path = Path(folder) / "valet.log"
        self.command = [BIN, "serve", model, "--port", "0", *(["--host", host] if host else []), *flags]
        self.port = None
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=child_env(),
            )
        try:
            wait_until(self._is_ready, START_S, "event=server.ready in the log")
        except BaseException:
            self.kill()
            raise

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_tail(self, lines=60):
        return "\n".join([" ".join(self.command), *self.log().splitlines()[-lines:]])

    def _is_ready(self):
        text = self.log()
        listen = LISTEN.search(text)
        if listen and READY.search(text):
            self.port = int(listen[1])
            return True
        code = self.process.poll()
        assert code is None, f"valet serve ended with {code} before it was ready:\n{self.log_tail()}"
        return False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def is_alive(self):
        return self.process.poll() is None

    def kill(self):
        """The last resort: this child and nothing else."""
        if self.is_alive():
            self.process.kill()
        self.process.wait()

    def end(self, sig=signal.SIGTERM):
        """Asks the server to end; gives its exit status. Killed, and a failure, if it does not."""
        if self.is_alive():
            self.process.send_signal(sig)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end within {STOP_S} s of {sig.name}:\n{self.log_tail()}") from None

    def stop(self, sig=signal.SIGTERM):
        code = self.end(sig)
        assert code == 0, f"exit status {code} after {sig.name}, not 0:\n{self.log_tail()}"

    # ---- what the server says of itself ----

    def get_json(self, path):
        answer = request(self.port, "GET", path)
        assert answer.status == 200, answer
        return answer.json()

    def pool(self):
        """The first entry of /pools: the lot of the default model."""
        return self.get_json("/pools")["pools"][0]

    def metrics(self):
        answer = request(self.port, "GET", "/metrics")
        assert answer.status == 200, answer
        return parse_metrics(answer.body.decode())

    def model_id(self):
        return self.get_json("/v1/models")["data"][0]["id"]

    def wait_idle(self, seconds=5 * SLOW):
        """Until nothing waits, nothing runs and nothing is held."""
        deadline = time.monotonic() + seconds
        while True:
            pool = self.pool()
            if pool["queued"] == 0 and pool["running"] == 0 and not any(units(pool["used"]).values()):
                return
            assert time.monotonic() < deadline, f"not idle after {seconds} s: {pool}"
            time.sleep(0.02)


def units(value):
    """Amounts of the pool's dimensions, by name."""
    if isinstance(value, dict):
        return value
    return dict(enumerate(value if isinstance(value, list) else [value]))


# ---- HTTP ----


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {k.lower(): v for k, v in headers}
        self.body = body

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The body's error object, its shape checked."""
        assert self.headers["content-type"].startswith("application/json"), self
        error = self.json()["error"]
        assert {"message", "type", "param", "code"} <= error.keys(), error
        assert isinstance(error["message"], str) and error["message"], error
        return error

    def text(self):
        """The text of a whole chat completion."""
        assert self.status == 200, self
        return self.json()["choices"][0]["message"]["content"]

    def __repr__(self):
        return f"Answer({self.status}, {self.headers}, {self.body[:2000]!r})"


def request(port, method, path, body=None, headers=None, timeout=None):
    """One request on a connection of its own. A body that is not bytes is sent as JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout or ANSWER_S)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def chat_body(prompt, **fields):
    return {"messages": [{"role": "user", "content": prompt}], **fields}


def chat(port, prompt, timeout=None, **fields):
    return request(port, "POST", "/v1/chat/completions", chat_body(prompt, **fields), timeout=timeout)


def greedy(port, prompt, max_tokens):
    return chat(port, prompt, temperature=0, max_tokens=max_tokens).text()


def request_bytes(body, path="/v1/chat/completions", close=True):
    """A POST as it goes over the wire."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n" + ("Connection: close\r\n" if close else "") + "\r\n"
    )
    return head.encode() + data


def connect(port, timeout=None):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout or ANSWER_S)


def read_answer(sock):
    """Reads the answer that is due on a socket."""
    response = http.client.HTTPResponse(sock)
    response.begin()
    answer = Answer(response.status, response.getheaders(), response.read())
    response.close()
    return answer


# ---- server-sent events ----


class Stream:
    """A streamed chat completion on a raw connection, read event by event."""

    def __init__(self, port, prompt, headers=None, **fields):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self.connection.request(
            "POST",
            "/v1/chat/completions",
            body=json.dumps(chat_body(prompt, stream=True, **fields)),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.headers = {k.lower(): v for k, v in self.response.getheaders()}

    def events(self):
        """The payload of each `data:` line in order; comments are passed over."""
        while True:
            line = self.response.readline()
            if not line:
                return
            if line.startswith(b":"):
                assert self.response.readline() == b"\n"
                continue
            assert line.startswith(b"data: ") and line.endswith(b"\n"), line
            assert self.response.readline() == b"\n", "an empty line ends each event"
            yield line[len(b"data: ") :].decode().rstrip("\n")

    def close(self):
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def content_of(chunk):
    """The piece of text in a chunk, or ''."""
    choices = chunk.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


# ---- metrics ----

SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\.)*)"(?:,|$)')


def parse_metrics(text):
    """{name: [(labels, value)]}; every line must be of the text format 0.0.4."""
    assert text.endswith("\n"), "the last line ends with a newline"
    found, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"two TYPE lines for {name}"
            assert kind in ("counter", "gauge", "histogram", "summary", "untyped"), line
            types[name] = kind
        elif line and not line.startswith("#"):
            sample = SAMPLE.match(line)
            assert sample, f"not a sample: {line!r}"
            name, labels, value = sample.groups()
            assert LABEL.sub("", labels or "") == "", f"bad labels: {line!r}"
            found.setdefault(name, []).append((dict(LABEL.findall(labels or "")), float(value)))
    return found


def total(metrics, name):
    assert name in metrics, f"no metric {name}; there are: {' '.join(sorted(metrics))}"
    return sum(value for _, value in metrics[name])
