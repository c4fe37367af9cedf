"""The README's commands for a running server, run."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from valet_server import ANSWER_S, ROOT

README = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:2000"


def commands(name):
    """The commands of this name in the README, with their continuation lines."""
    return re.findall(rf"^\$ ({name} (?:.*\\\n)*.*)$", README, re.MULTILINE)


def here(text, server):
    assert ADDRESS in text
    return text.replace(ADDRESS, f"127.0.0.1:{server.port}")


def curl(command, server):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    done = subprocess.run(
        ["sh", "-c", here(command, server)], capture_output=True, text=True, timeout=ANSWER_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_commands():
    assert len(commands("curl")) >= 2


@pytest.mark.parametrize("command", [c for c in commands("curl") if "/v1/chat/completions" in c])
def test_a_chat_by_curl_answers(server, command):
    assert "Berlin" in curl(command, server)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("command", [c for c in commands("curl") if "-d " not in c])
def test_a_look_by_curl_answers(server, command):
    assert curl(command, server)


def test_the_answers_shown_have_the_keys_of_real_ones(server):
    """Each key that an answer in the README shows is one of the server's."""
    for command in commands("curl"):
        shown = README.split(command, 1)[1].split("```", 1)[0].split("\n\n", 1)[0]
        known = json.dumps(curl(command, server))
        for key in re.findall(r'"(\w+)":', shown):
            assert f'"{key}":' in known, f"{key}: not in {known}"


def test_the_program_for_python_runs(server):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", here(program, server)],
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
