"""The requests of an evaluation harness: token ids, echoed, with the logprob of each token."""

import math

from valet_server import request, scaled

# (context, continuation): what is scored is the continuation's tokens behind the context's.
PAIRS = [
    ("The capital of Germany is", " Berlin."),
    ("The capital of Germany is", " a bicycle."),
    ("def add(a, b):\n    return", " a + b\n"),
    ("Question: What is 2 + 2?\nAnswer:", " 4"),
    ("La capitale de la France est", " la ville de Paris \U0001f5fc."),
    ("", "A text that nothing stands before is scored behind its first token."),
]  # fmt: skip


def post(server, **body):
    answer = request(server.port, "POST", "/v1/completions", {"temperature": 0, "seed": 1234, **body})
    assert answer.status == 200, answer
    return answer.json()["choices"]


def tokens_of(server, text):
    answer = request(server.port, "POST", "/tokenize", {"content": text})
    assert answer.status == 200, answer
    return answer.json()["tokens"]


def pairs(server):
    """(ids, how many of them are the context) of each pair."""
    out = []
    for context, continuation in PAIRS:
        before = tokens_of(server, context) if context else []
        ids = before + tokens_of(server, continuation)
        out.append((ids, max(1, len(before))))
    return out[: scaled(len(out), least=3)]


def scored(choice, ids, context):
    """Logprobs of ids[context:], as a harness reads them: a token that came behind is left out."""
    lists = choice["logprobs"]
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert len(lists[name]) in (len(ids), len(ids) + 1), name
    assert lists["token_logprobs"][0] is None and lists["top_logprobs"][0] is None
    values = lists["token_logprobs"][context : len(ids)]
    assert all(math.isfinite(v) and v <= 0 for v in values)
    return values


def step(server, ids, i):
    """The logprob of ids[i] behind ids[:i], drawn as the one token of an answer."""
    (choice,) = post(server, prompt=ids[:i], max_tokens=1, logprobs=1, logit_bias={str(ids[i]): 100}, return_token_ids=True)
    assert choice["token_ids"] == [ids[i]], "a bias of 100 forces the token; its logprob knows nothing of it"
    return choice["logprobs"]["token_logprobs"][0]


def test_a_continuation_scores_what_its_tokens_score_one_by_one(server):
    asked = pairs(server)
    for ids, context in asked:
        (choice,) = post(server, prompt=ids, echo=True, logprobs=1, max_tokens=1)
        values = scored(choice, ids, context)
        one_by_one = [step(server, ids, i) for i in range(context, len(ids))]
        assert values == one_by_one, "the same bits, so far less than 1e-4 in the sum"
        assert math.isclose(sum(values), sum(one_by_one), abs_tol=1e-4)


def test_prompts_of_one_request_score_what_each_scores(server):
    asked = pairs(server)
    together = post(server, prompt=[ids for ids, _ in asked], echo=True, logprobs=1, max_tokens=1)
    assert [c["index"] for c in together] == list(range(len(asked)))
    for (ids, context), choice in zip(asked, together):
        (alone,) = post(server, prompt=ids, echo=True, logprobs=1, max_tokens=1)
        assert choice["logprobs"] == alone["logprobs"]
        assert choice["text"] == alone["text"]
        assert len(choice["logprobs"]["tokens"]) == len(ids) + 1
        (no_token,) = post(server, prompt=ids, echo=True, logprobs=1, max_tokens=0)
        assert scored(no_token, ids, context) == scored(choice, ids, context)
        assert len(no_token["logprobs"]["tokens"]) == len(ids)
        assert choice["text"].startswith(no_token["text"])


def test_the_likeliest_token_says_whether_an_answer_is_greedy(server):
    """What the model says by itself is greedy in every place; a token it did not say is not."""
    ids = tokens_of(server, PAIRS[0][0])
    (said,) = post(server, prompt=ids, max_tokens=8, logprobs=1, return_token_ids=True)
    answer = said["token_ids"]
    (echoed,) = post(server, prompt=ids + answer, echo=True, logprobs=1, max_tokens=1)
    lists = echoed["logprobs"]
    assert lists["token_logprobs"][len(ids) : -1] == said["logprobs"]["token_logprobs"]
    assert lists["top_logprobs"][len(ids) : -1] == said["logprobs"]["top_logprobs"]
    for i in range(len(ids), len(ids) + len(answer)):
        top = lists["top_logprobs"][i]
        assert max(top, key=top.get) == lists["tokens"][i]
    other = [answer[-1] if answer[0] != answer[-1] else ids[0], *answer[1:]]
    (changed,) = post(server, prompt=ids + other, echo=True, logprobs=1, max_tokens=1)
    top = changed["logprobs"]["top_logprobs"][len(ids)]
    assert max(top, key=top.get) != changed["logprobs"]["tokens"][len(ids)]
    assert len(top) == 2, "the likeliest and the one that stands there"


def test_rolling_windows_sum_to_the_whole(server):
    """A long text in windows that overlap by their context, as for the perplexity of a document."""
    text = " ".join(f"{context}{continuation}" for context, continuation in PAIRS) * scaled(4, least=2)
    ids = tokens_of(server, text)
    (whole,) = post(server, prompt=ids, echo=True, logprobs=1, max_tokens=0)
    want = scored(whole, ids, 1)
    got = []
    for first in range(1, len(ids), 64):
        window = ids[: first + 64]  # all that stands before is its context
        (choice,) = post(server, prompt=window, echo=True, logprobs=1, max_tokens=1)
        got += scored(choice, window, first)
    assert got == want
