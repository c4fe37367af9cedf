"""Fixtures of the api's tests: a server whose row is taken, and one with keys."""

import contextlib

import pytest

from valet_server import Stream

STORY = "Tell me a very long story about a fox, a bear and a river."
KEY = "sk-0123456789abcdef"


@contextlib.contextmanager
def held(server):
    """Takes a row of the server with a stream that is never read to its end."""
    with Stream(server.port, STORY, ignore_eos=True) as stream:
        next(stream.events())
        yield


@pytest.fixture
def busy_server(start_server):
    """One row, taken; one place to wait."""
    server = start_server("--max-num-seqs", "1", "--max-queue-depth", "1")
    with held(server):
        yield server
    server.wait_idle()


@pytest.fixture
def keyed_server(start_server, tmp_path):
    """A server with one key, server.key."""
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY} acme\n")
    keys.chmod(0o600)
    server = start_server("--api-keys-file", str(keys))
    server.key = KEY
    return server
