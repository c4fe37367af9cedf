"""Far too little memory for the answers that run: every one is still what it is alone."""

import json
import random

from test_concurrency import TOPICS, in_threads
from valet_server import ANSWER_S, SLOW, request, scaled, total, units, wait_until

KV_MEM = "16MiB"  # 22 blocks of 32 tokens: four or five of the answers below, whole
COUNT = 24
ROUNDS = 3 if SLOW == 1 else 1


def bodies():
    """Completions that differ in prompt, sampling and length, some with two choices."""
    texts = [f"The story of {topic} begins" + " long, long ago" * (i % 6) + "," for i, topic in enumerate(TOPICS * 2)]
    return [
        {
            "prompt": texts[i],
            "max_tokens": 36 + 5 * (i % 9),
            "temperature": 0 if i % 5 == 0 else 0.9,
            "top_p": 0.95,
            "seed": 77 + i,
            "ignore_eos": True,
            "n": 2 if i % 4 == 1 and i % 5 else 1,
        }
        for i in range(scaled(COUNT, least=18))
    ]


def plain(port, body):
    """The text of each choice, in one answer."""
    answer = request(port, "POST", "/v1/completions", body, timeout=4 * ANSWER_S)
    assert answer.status == 200, answer
    choices = answer.json()["choices"]
    assert [c["index"] for c in choices] == list(range(body["n"]))
    assert all(c["finish_reason"] == "length" for c in choices), choices
    return [c["text"] for c in choices]


def streamed(port, body):
    """The same from the pieces of a stream."""
    answer = request(port, "POST", "/v1/completions", {**body, "stream": True}, timeout=4 * ANSWER_S)
    assert answer.status == 200, answer
    lines = [line for line in answer.body.decode().split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    texts = [""] * body["n"]
    ends = [None] * body["n"]
    for line in lines[:-1]:
        for choice in json.loads(line[len("data: ") :])["choices"]:
            texts[choice["index"]] += choice["text"]
            ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
    assert ends == ["length"] * body["n"]
    return texts


def preemptions(server):
    return total(server.metrics(), "valet_preemptions_total")


def check_nothing_is_left(server):
    server.wait_idle()
    pool = server.pool()
    assert not any(units(pool["used"]).values()), pool
    wait_until(lambda: total(server.metrics(), "valet_kv_blocks_used") == 0, 5 * SLOW, "no block in use")
    metrics = server.metrics()
    for name in ("valet_requests_running", "valet_requests_waiting", "valet_kv_blocks_booked", "valet_batch_rows"):
        assert total(metrics, name) == 0, name
    # Blocks of which a copy stays cached are free too.
    assert total(metrics, "valet_kv_blocks_cached") <= total(metrics, "valet_kv_blocks_total")
    return total(metrics, "valet_resident_memory_bytes")


def test_preempted_answers_are_what_they_are_alone(start_server):
    server = start_server("--kv-mem", KV_MEM)
    requests = bodies()
    alone = [plain(server.port, body) for body in requests]
    assert len({text for texts in alone for text in texts}) == sum(b["n"] for b in requests), "all differ"
    assert preemptions(server) == 0, "alone nobody gives way"

    resident = []
    order = random.Random(11)
    for turn in range(ROUNDS):
        before = preemptions(server)
        jobs = list(enumerate(requests))
        order.shuffle(jobs)
        texts = in_threads(
            [
                lambda ask=streamed if (i + turn) % 2 else plain, body=body: ask(server.port, body)
                for i, body in jobs
            ]
        )
        for (i, body), got in zip(jobs, texts):
            assert got == alone[i], f"round {turn}, {body}"
        assert preemptions(server) > before, f"round {turn}: nobody gave way, so it shows nothing"
        resident.append(check_nothing_is_left(server))

    counters = server.pool()["counters"]
    assert counters["completed"] == counters["submitted"] == (ROUNDS + 1) * len(requests)
    assert counters["failed"] == counters["cancelled"] == counters["dropped"] == 0
    print(f"{preemptions(server):.0f} preemptions; resident {[int(r) >> 10 for r in resident]} KiB")
    if SLOW == 1:  # sanitizers keep what is freed
        assert resident[-1] - resident[0] < 4 << 20, resident
