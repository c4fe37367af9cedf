"""The official client for JavaScript: js/client_test.mjs against servers of ours."""

import os
import subprocess

from api_servers import busy_server, keyed_server  # noqa: F401
from valet_server import ANSWER_S, ROOT


def test_the_client_for_javascript_works(server, busy_server, keyed_server):
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "MODULES": str(ROOT / "build/js"),
        "VALET_URL": server.url,
        "BUSY_URL": busy_server.url,
        "KEYS_URL": keyed_server.url,
        "KEY": keyed_server.key,
    }
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", str(ROOT / "tests/blackbox/js/client_test.mjs")],
        env=env,
        capture_output=True,
        text=True,
        timeout=5 * ANSWER_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout and "# pass 0" not in done.stdout, done.stdout
