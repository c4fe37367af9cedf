"""Fixtures: servers that live for a file or a test, the official client, logs of failures."""

import openai
import pytest

from valet_server import ANSWER_S, Server

started = []  # servers of the test or file that runs now


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in started:
            report.sections.append((f"server {server.process.pid}", server.log_tail()))


class Servers:
    """Starts servers; whoever made this stops those that still run."""

    def __init__(self, folders):
        self.folders = folders
        self.mine = []

    def start(self, *flags, **options):
        server = Server(self.folders.mktemp("server"), *flags, **options)
        self.mine.append(server)
        started.append(server)
        return server

    def stop_all(self):
        failures = []
        for server in self.mine:
            started.remove(server)
            if server.is_alive():
                try:
                    server.stop()
                except AssertionError as failure:
                    failures.append(str(failure))
        assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server with default flags for all tests of a file; must end with status 0."""
    servers = Servers(tmp_path_factory)
    try:
        yield servers.start()
    finally:
        servers.stop_all()


@pytest.fixture
def start_server(tmp_path_factory):
    """start_server('--flag', ...) gives a server of the test's own."""
    servers = Servers(tmp_path_factory)
    try:
        yield servers.start
    finally:
        servers.stop_all()


def client_of(server):
    return openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="any-key-will-do", max_retries=0, timeout=ANSWER_S
    )


@pytest.fixture(scope="module")
def client(server):
    with client_of(server) as c:
        yield c


@pytest.fixture
def new_client():
    """new_client(server) gives an official client for it."""
    made = []

    def make(server):
        made.append(client_of(server))
        return made[-1]

    yield make
    for c in made:
        c.close()
