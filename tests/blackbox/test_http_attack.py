"""Hostile clients in numbers against a real server: another client is served all the same."""

import resource
import socket
import time

from valet_server import SLOW, chat, connect, read_answer, request, scaled, total, wait_until

SERVED_S = 10  # served at all; no more is promised
SLACK = 64 << 20
HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def allow_files(wanted):
    """Raises the limit for this process and the servers it starts; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def open_many(server, count, data=b""):
    sockets = []
    for _ in range(count):
        sockets.append(connect(server.port))
        if data:
            sockets[-1].sendall(data)
    wait_until(lambda: connections(server) >= count, SERVED_S, "all are accepted")
    return sockets


def connections(server):
    return total(server.metrics(), "valet_http_connections")


def close_all(server, sockets):
    for sock in sockets:
        sock.close()
    wait_until(lambda: connections(server) <= 5, SERVED_S, "the closed connections are forgotten")


def is_served(server):
    for path in ("/health", "/v1/models"):
        assert request(server.port, "GET", path, timeout=SERVED_S).status == 200
    assert chat(server.port, "Say hello.", max_tokens=2).text() is not None


def drip(sockets, seconds):
    """A byte from each, again and again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for sock in sockets:
            try:
                sock.send(b"x")
            except OSError:
                pass  # given up by the server, as it may


def test_idle_connections_in_number(start_server):
    wanted = scaled(9900)
    count = min(wanted, allow_files(wanted + 500) - 500)
    if count < wanted:
        print(f"note: {count} connections for {wanted}; more files may not be opened here")
    server = start_server()
    is_served(server)
    before = resident_bytes(server)
    sockets = open_many(server, count)
    is_served(server)
    assert resident_bytes(server) - before <= count * 2048 + SLACK
    close_all(server, sockets)
    is_served(server)


def test_slow_headers_and_bodies(start_server):
    server = start_server()
    is_served(server)
    before = resident_bytes(server)
    heads = open_many(server, scaled(300), HEAD + b"X-Slow: ")
    length = b"Content-Type: application/json\r\nContent-Length: 8000000\r\n\r\n"
    post = HEAD.replace(b"GET /health", b"POST /v1/chat/completions") + length
    bodies = open_many(server, scaled(300), post + b"{")
    drip(heads + bodies, 1)
    is_served(server)
    assert resident_bytes(server) - before <= len(heads + bodies) * 16384 + SLACK
    close_all(server, heads + bodies)
    server.wait_idle()


def test_clients_that_never_read(start_server):
    server = start_server()
    is_served(server)
    before = resident_bytes(server)
    ask = HEAD.replace(b"/health", b"/metrics") + b"\r\n"
    sockets = []
    for _ in range(scaled(100)):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.setblocking(False)
        sockets.append(sock)
    for sock in sockets:
        try:
            for _ in range(500):
                sock.send(ask)
        except BlockingIOError:
            pass  # the server has stopped reading, as it may
    is_served(server)
    if SLOW == 1:  # sanitizers keep what is freed
        assert resident_bytes(server) - before <= len(sockets) * (1 << 20) + SLACK
    close_all(server, sockets)


def test_requests_in_single_bytes_are_answered(start_server):
    server = start_server()
    sock = connect(server.port)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in HEAD + b"\r\n":
        sock.sendall(bytes([byte]))
    assert read_answer(sock).status == 200
    sock.close()
