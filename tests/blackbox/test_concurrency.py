"""Many at once: nobody changes another's answer, a full house says so, who leaves leaves nothing."""

import http.client
import json
import os
import random
import socket
import threading
import time

import openai
import pytest

from valet_server import (
    ANSWER_S,
    SLOW,
    Stream,
    chat,
    chat_body,
    connect,
    content_of,
    greedy,
    read_answer,
    request_bytes,
    scaled,
    units,
    wait_until,
)

TOPICS = [
    "rain", "bread", "the moon", "bicycles", "a lighthouse", "chess", "honey", "volcanoes",
    "clocks", "whales", "paper", "winter", "trains", "tea", "maps", "shadows",
]  # fmt: skip


def in_threads(functions):
    """Runs all at once; gives their results in order; the first failure is raised."""
    results = [None] * len(functions)
    failures = []
    gate = threading.Barrier(len(functions))

    def work(i):
        try:
            gate.wait()
            results[i] = functions[i]()
        except BaseException as failure:  # carried to the main thread
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(2 * ANSWER_S)
        assert not t.is_alive(), "a request never ended"
    if failures:
        raise failures[0]
    return results


def streamed_text(port, prompt, **fields):
    with Stream(port, prompt, **fields) as stream:
        assert stream.status == 200
        events = list(stream.events())
    assert events[-1] == "[DONE]"
    return "".join(content_of(json.loads(e)) for e in events[:-1])


# ---- (a) alone or in company, the same bytes ----


def seeded_requests():
    """16 requests that differ in prompt, length and sampling."""
    return [
        (
            # Prompts of different lengths, so that rows of a batch are at different positions.
            f"Write one sentence about {topic}." + " Please be kind." * (i % 5),
            {
                "seed": 1000 + i,
                "temperature": 0.8,
                "top_p": 0.9,
                "max_tokens": 10 + i % 7,
                **({"top_k": 20 + i} if i % 3 == 0 else {}),
            },
        )
        for i, topic in enumerate(TOPICS)
    ]


def test_company_does_not_change_an_answer(server):
    requests = seeded_requests()
    alone = [chat(server.port, prompt, **fields).text() for prompt, fields in requests]
    assert len(set(alone)) == len(alone), "sixteen different answers"
    order = random.Random(5)
    for turn in range(scaled(3)):
        jobs = list(enumerate(requests))
        order.shuffle(jobs)
        texts = in_threads(
            [
                (lambda p=prompt, f=fields: streamed_text(server.port, p, **f))
                if (i + turn) % 2
                else (lambda p=prompt, f=fields: chat(server.port, p, **f).text())
                for i, (prompt, fields) in jobs
            ]
        )
        for (i, (prompt, _)), text in zip(jobs, texts):
            assert text.encode() == alone[i].encode(), f"round {turn}, {prompt!r}"
    server.wait_idle()


# ---- (b) a full house ----


@pytest.fixture
def small_server(start_server):
    return start_server("--max-num-seqs", "4", "--max-queue-depth", "8")


def test_overload_is_refused_and_the_rest_is_right(small_server):
    server = small_server
    prompts = [f"Name one thing about {topic}." for topic in TOPICS[:4]]
    expected = {p: greedy(server.port, p, 6) for p in prompts}

    count = 200 if SLOW == 1 else 64
    jobs = [prompts[i % len(prompts)] for i in range(count)]
    sockets = [connect(server.port) for _ in jobs]
    try:
        for sock, prompt in zip(sockets, jobs):  # far faster than answers can come
            sock.sendall(request_bytes(chat_body(prompt, temperature=0, max_tokens=6)))
        answers = [read_answer(sock) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()

    accepted = 0
    for prompt, answer in zip(jobs, answers):
        if answer.status == 200:
            accepted += 1
            assert answer.text() == expected[prompt]
            continue
        assert answer.status == 429, answer
        assert int(answer.headers["retry-after"]) >= 1
        error = answer.error()
        assert (error["code"], error["type"]) == ("queue_full", "rate_limit_error")
    refused = count - accepted
    assert accepted >= 12, "all that run and wait are accepted"
    assert refused > 0

    server.wait_idle()
    pool = server.pool()
    capacity, high = units(pool["capacity"]), units(pool["highWater"])
    assert all(high[d] <= capacity[d] for d in capacity), pool
    assert 4 in capacity.values(), "one dimension is the slots of --max-num-seqs"
    assert greedy(server.port, prompts[0], 6) == expected[prompts[0]]


def test_full_house_through_the_official_client(start_server, new_client):
    server = start_server("--max-num-seqs", "1", "--max-queue-depth", "1")
    client = new_client(server)
    message = {"model": server.model_id(), "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    with Stream(server.port, "Tell me a very long story.", temperature=0, max_tokens=2000) as running:
        next(running.events())
        with connect(server.port) as waiting:
            waiting.sendall(request_bytes(chat_body("And another.", max_tokens=2000)))
            wait_until(lambda: server.pool()["queued"] == 1, 5 * SLOW, "one request waits")
            with pytest.raises(openai.RateLimitError) as e:
                client.chat.completions.create(**message)
            assert e.value.status_code == 429
            assert (e.value.code, e.value.type) == ("queue_full", "rate_limit_error")
            assert int(e.value.response.headers["retry-after"]) >= 1
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(stream=True, **message)
    server.wait_idle()
    assert client.chat.completions.create(**message).choices


def test_no_queue_at_all(start_server):
    server = start_server("--max-num-seqs", "1", "--max-queue-depth", "0")
    with Stream(server.port, "Tell me a very long story.", temperature=0, max_tokens=2000) as running:
        next(running.events())
        assert chat(server.port, "Hello", max_tokens=1).status == 429
    server.wait_idle()
    assert chat(server.port, "Hello", max_tokens=1).status == 200


def test_parked_requests_start_in_turn(start_server):
    """One slot: all that wait are answered, first come first served."""
    server = start_server("--max-num-seqs", "1", "--max-queue-depth", "20")
    done = []
    sockets = [connect(server.port) for _ in range(6)]
    try:
        for i, sock in enumerate(sockets):
            sock.sendall(request_bytes(chat_body(f"Count to {i + 2}.", temperature=0, max_tokens=4)))
            wait_until(lambda n=i: arrived(server) > n, 5 * SLOW, "the request is in the lot")

        def wait(i):
            assert read_answer(sockets[i]).status == 200
            done.append(i)

        in_threads([lambda n=i: wait(n) for i in range(len(sockets))])
    finally:
        for sock in sockets:
            sock.close()
    # Two ends in one step of the loop may be seen in either order, no more than that.
    assert all(abs(place - i) <= 1 for place, i in enumerate(done)), done


def arrived(server):
    """Tickets submitted so far, those that ended included."""
    pool = server.pool()
    ended = ("completed", "failed", "cancelled", "dropped")
    return pool["queued"] + pool["running"] + sum(pool["counters"].get(k, 0) for k in ended)


# ---- (c) leaving ----


def leave_somewhere(port, seed, stream):
    """Sends a request and leaves at a random point of its life, politely or not."""
    rng = random.Random(seed)
    topic = rng.choice(TOPICS)
    body = chat_body(f"Tell me all about {topic}." + " Go on." * rng.randrange(40), max_tokens=400, stream=stream)
    sock = connect(port)
    try:
        data = request_bytes(body, close=rng.random() < 0.5)
        if rng.random() < 0.1:
            sock.sendall(data[: rng.randrange(len(data))])  # not even a whole request
            return
        sock.sendall(data)
        if stream and rng.random() < 0.5:
            sock.settimeout(0.7)
            try:
                sock.recv(1 + rng.randrange(3000), socket.MSG_WAITALL)
            except TimeoutError:
                pass
        else:
            time.sleep(rng.random() * 0.5)
        how = rng.random()
        if how < 0.3:  # half-close counts as gone; the server closes its side
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(ANSWER_S)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        elif how < 0.6:  # reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    finally:
        sock.close()


def test_who_leaves_leaves_nothing_behind(server):
    seed = int(os.environ.get("VALET_TEST_SEED") or random.randrange(1 << 30))
    print(f"VALET_TEST_SEED={seed}")  # shown when the test fails
    right = greedy(server.port, "What is the capital of Germany?", 6)
    each = max(8, scaled(32))
    for turn in range(scaled(3)):
        base = seed + turn * 1000
        in_threads(
            [
                lambda n=n, base=base: leave_somewhere(server.port, base + n, stream=n % 2 == 0)
                for n in range(2 * each)
            ]
        )
        server.wait_idle(1 * SLOW)
        begin = time.monotonic()
        assert greedy(server.port, "What is the capital of Germany?", 6) == right
        assert time.monotonic() - begin < 5 * SLOW
        assert server.get_json("/health")["status"] == "ok"


def test_parked_client_that_leaves_frees_its_place(start_server):
    server = start_server("--max-num-seqs", "1", "--max-queue-depth", "1")
    with Stream(server.port, "Tell me a very long story.", temperature=0, max_tokens=2000) as running:
        events = running.events()
        next(events)
        for _ in range(3):
            with connect(server.port) as waiting:
                waiting.sendall(request_bytes(chat_body("Me too.", max_tokens=5)))
                wait_until(lambda: server.pool()["queued"] == 1, 5 * SLOW, "one request waits")
            wait_until(lambda: server.pool()["queued"] == 0, 1 * SLOW, "the place is free again")
        json.loads(next(events))  # the one that runs goes on
        assert server.pool()["running"] == 1


def test_keep_alive_serves_one_after_the_other(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_S)
    try:
        for _ in range(3):
            connection.request("GET", "/health")
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["status"]) == (200, "ok")
        body = json.dumps(chat_body("Hi", max_tokens=2))
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200
            response.read()
    finally:
        connection.close()
