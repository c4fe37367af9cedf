"""What the benchmark scripts share: programs, the machine, a server, the load generator."""

import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
MODEL = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"
VALET = Path(os.environ.setdefault("VALET_BIN", str(BUILD / "valet"))).resolve()
LOAD = VALET.parent / "valet-load"

sys.path.insert(0, str(ROOT / "tests/blackbox"))
from valet_server import Server, total  # noqa: E402

__all__ = ["BUILD", "LOAD", "MODEL", "ROOT", "VALET", "Server", "total"]


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def machine_line():
    """CPU, cores this process may use, date and load: figures without it mean nothing."""
    cores = len(os.sched_getaffinity(0))
    today = datetime.date.today().isoformat()
    return f"{cpu_model()}; {cores} cores; {today}; load average {os.getloadavg()[0]:.2f}"


def row(what, values, unit, digits=2):
    """A line: the median, and every value."""
    shown = "  ".join(f"{value:.{digits}f}" for value in values)
    median = statistics.median(values) if values else float("nan")
    print(f"  {what:<52} {median:10.{digits}f} {unit:<9} of {shown}", flush=True)


def need(*programs):
    for program in programs:
        if not os.access(program, os.X_OK):
            sys.exit(f"{program} is missing; `make` builds it")


@contextlib.contextmanager
def valet_server(*flags, model=MODEL):
    """`valet serve` on a port of its own; ended at the end, and killed if it does not."""
    with tempfile.TemporaryDirectory(prefix="valet-bench-") as folder:
        server = Server(folder, *map(str, flags), model=str(Path(model).resolve()))
        try:
            yield server
        finally:
            if server.is_alive():
                server.end()


def load_command(port, *flags):
    return [str(LOAD), "--port", str(port), "--json", *map(str, flags)]


def load(port, *flags):
    """Runs valet-load to its end; gives its report."""
    run = subprocess.run(load_command(port, *flags), capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"valet-load: {run.stderr.strip()}")
    return json.loads(run.stdout)


def load_started(port, *flags):
    """valet-load beside others; load_ended has its report."""
    return subprocess.Popen(load_command(port, *flags), stdout=subprocess.PIPE, text=True)


def load_ended(process, seconds=600):
    text, _ = process.communicate(timeout=seconds)
    if process.returncode != 0:
        sys.exit(f"valet-load ended with {process.returncode}")
    return json.loads(text)
