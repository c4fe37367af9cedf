"""Logprobs over HTTP against golden ones of the dequantised weights (tests/golden/README.md)."""

import pytest

from valet_server import ANSWER_S, ROOT, request

GOLDEN = ROOT / "tests/golden/logprobs_smollm2.txt"


def golden_texts():
    """(name, ids, logprobs of ids[1:])"""
    words = [line.split() for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#")]
    tokens = iter([word for line in words for word in line])
    for word in tokens:
        assert word == "text"
        name, count = next(tokens), int(next(tokens))
        ids = [int(next(tokens)) for _ in range(count)]
        yield name, ids, [float(next(tokens)) for _ in range(count - 1)]


@pytest.mark.parametrize("isa", ["avx2", "avx512vnni", "amx"])
def test_echoed_logprobs_are_near_the_oracle(start_server, monkeypatch, isa):
    flags = set(open("/proc/cpuinfo").read().split())
    if not {"avx2": {"avx2", "fma", "f16c"}, "avx512vnni": {"avx512_vnni"}, "amx": {"amx_tile", "amx_int8"}}[isa] <= flags:
        pytest.skip(f"this CPU has no {isa}")
    monkeypatch.setenv("VALET_ISA", isa)
    server = start_server()
    assert f"isa={isa}" in server.log()
    differences, off = [], 0.0
    for name, ids, expected in golden_texts():
        body = {"prompt": ids, "echo": True, "logprobs": 1, "max_tokens": 0}
        answer = request(server.port, "POST", "/v1/completions", body, timeout=4 * ANSWER_S)
        assert answer.status == 200, (name, answer)
        got = answer.json()["choices"][0]["logprobs"]["token_logprobs"]
        assert got[0] is None and len(got) == len(ids)
        differences += [abs(a - b) for a, b in zip(got[1:], expected, strict=True)]
        off += sum(got[1:]) - sum(expected)
    mean = sum(differences) / len(differences)
    print(f"{isa}: {len(differences)} tokens, mean |difference| {mean:.4f}, nll off by {off / len(differences):.4f}")
    assert mean <= 0.04
    assert abs(off) / len(differences) <= 0.005
