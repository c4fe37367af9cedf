"""What clients wait for, in /metrics."""

import pytest

from valet_server import chat, request, total

TOKENS = 9

ALIASES = {
    "valet_ttft_seconds": "vllm:time_to_first_token_seconds",
    "valet_itl_seconds": "vllm:inter_token_latency_seconds",
    "valet_tpot_seconds": "vllm:request_time_per_output_token_seconds",
    "valet_e2e_seconds": "vllm:e2e_request_latency_seconds",
    "valet_prefill_seconds": "vllm:request_prefill_time_seconds",
    "valet_decode_seconds": "vllm:request_decode_time_seconds",
    "valet_queue_seconds": "vllm:request_queue_time_seconds",
    "valet_inference_seconds": "vllm:request_inference_time_seconds",
}


@pytest.fixture(scope="module")
def metrics(server):
    """After two answers of TOKENS tokens, one of them streamed and urgent, and a refused one."""
    fields = dict(max_tokens=TOKENS, ignore_eos=True, temperature=0)
    assert chat(server.port, "Count.", **fields).status == 200
    streamed = chat(server.port, "Count.", stream=True, priority="high", **fields)
    assert streamed.status == 200 and streamed.body.endswith(b"data: [DONE]\n\n")
    assert chat(server.port, "Count.", temperature="cold").status == 400
    server.wait_idle()
    return server.metrics()


def by_class(metrics, name):
    return {labels["class"]: value for labels, value in metrics[name]}


@pytest.mark.parametrize(
    "name, each",
    [
        ("valet_ttft_seconds", 1),
        ("valet_itl_seconds", TOKENS - 1),
        ("valet_tpot_seconds", 1),
        ("valet_e2e_seconds", 1),
        ("valet_prefill_seconds", 1),
        ("valet_decode_seconds", 1),
        ("valet_queue_seconds", 1),
        ("valet_inference_seconds", 1),
    ],
)
def test_each_answer_is_counted_in_its_class(metrics, name, each):
    assert by_class(metrics, f"{name}_count") == {"critical": 0, "high": each, "normal": each, "low": 0}
    assert total(metrics, f"{ALIASES[name]}_count") == 2 * each
    assert total(metrics, f"{ALIASES[name]}_sum") == pytest.approx(total(metrics, f"{name}_sum"))


@pytest.mark.parametrize("name", [*ALIASES, *ALIASES.values()])
def test_buckets_grow_up_to_the_count(metrics, name):
    rows = {}
    for labels, value in metrics[f"{name}_bucket"]:
        rows.setdefault(labels.get("class"), []).append((float(labels["le"]), value))
    counts = {labels.get("class"): value for labels, value in metrics[f"{name}_count"]}
    assert rows.keys() == counts.keys()
    for label, row in rows.items():
        assert row == sorted(row), "bounds rise"
        assert [value for _, value in row] == sorted(value for _, value in row), "buckets hold those below"
        assert row[-1] == (float("inf"), counts[label])


def test_the_parts_of_an_answer_fit_into_the_whole(metrics):
    parts = {name: total(metrics, f"valet_{name}_seconds_sum") for name in ("ttft", "decode", "itl", "e2e")}
    assert 0 < parts["ttft"] < parts["e2e"]
    assert parts["ttft"] + parts["decode"] <= parts["e2e"] * 1.000001
    assert parts["itl"] == pytest.approx(parts["decode"], rel=1e-6), "the gaps of one choice are its decode"


def test_the_labels_are_those_of_the_dashboards(metrics, server):
    (labels, _), *more = metrics["vllm:time_to_first_token_seconds_count"]
    assert labels == {"model_name": server.model_id(), "engine": "0"} and not more
    text = request(server.port, "GET", "/metrics").body.decode()
    assert "# TYPE vllm:inter_token_latency_seconds histogram\n" in text
