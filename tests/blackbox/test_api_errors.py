"""Every class of error, as the official client for Python meets it, and hostile bodies."""

import concurrent.futures
import json

import openai
import pytest

from api_servers import busy_server, keyed_server  # noqa: F401
from valet_server import ANSWER_S, chat_body, request, wait_until

HI = [{"role": "user", "content": "Hi."}]


def ask(client, **options):
    return client.chat.completions.create(
        model=client.models.list().data[0].id, messages=HI, max_tokens=4, **options
    )


def post(server, body, path="/v1/chat/completions"):
    return request(server.port, "POST", path, body, headers={"Content-Type": "application/json"})


# ---- classes of the client ----


def test_400_is_a_bad_request_that_names_its_field(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, temperature=3)
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize(
    "name, value",
    [
        ("X-Valet-Priority", "urgent"),
        ("X-Valet-Deadline-Ms", "soon"),
        ("X-Valet-Queue-Timeout-Ms", "0"),
    ],
)
def test_400_names_the_header(client, name, value):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_headers={name: value})
    assert caught.value.param == name


def test_a_deadline_that_has_passed_is_400(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_headers={"X-Valet-Deadline-Ms": "0"})
    assert caught.value.code == "deadline_past"


def test_404_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-none", messages=HI)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("none/such")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as caught:
        client.files.list()
    assert caught.value.code == "not_found"


def test_429_is_a_rate_limit_with_a_time_to_come_back(busy_server, new_client):
    client = new_client(busy_server)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parked = pool.submit(
            ask, client.with_options(max_retries=0), extra_headers={"X-Valet-Deadline-Ms": "5000"}
        )
        wait_until(lambda: busy_server.pool()["queued"] == 1, ANSWER_S, "a request waits")
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client)
        error = caught.value
        assert error.code == "queue_full"
        assert error.body["queue_depth"] == 1 and error.body["position"] == 2
        assert int(error.response.headers["retry-after"]) >= 1
        assert int(error.response.headers["retry-after-ms"]) == error.body["retry_after_ms"]
        with pytest.raises(openai.InternalServerError):
            parked.result(ANSWER_S)


@pytest.mark.parametrize("stream", [False, True])
def test_503_is_clean_when_a_deadline_passes_in_the_queue(busy_server, new_client, stream):
    with pytest.raises(openai.InternalServerError) as caught:
        ask(new_client(busy_server), stream=stream, extra_headers={"X-Valet-Deadline-Ms": "50"})
    assert caught.value.status_code == 503
    assert caught.value.code == "deadline_expired"
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_503_when_a_wait_was_limited(busy_server, new_client):
    with pytest.raises(openai.InternalServerError) as caught:
        ask(new_client(busy_server), extra_headers={"X-Valet-Queue-Timeout-Ms": "50"})
    assert caught.value.code == "queue_timeout"


def test_401_is_an_authentication_error(keyed_server, new_client):
    client = new_client(keyed_server)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    assert client.with_options(api_key=keyed_server.key).models.list().data
    assert request(keyed_server.port, "GET", "/health").status == 200
    answer = request(keyed_server.port, "POST", "/v1/chat/completions", chat_body("Hi."))
    assert (answer.status, answer.error()["code"]) == (401, "missing_api_key")


# ---- priority ----


def test_a_service_tier_is_echoed(client):
    assert ask(client, service_tier="flex").service_tier == "flex"
    assert ask(client, service_tier="priority").service_tier == "priority"
    assert ask(client).service_tier == "default"
    assert {c.service_tier for c in ask(client, service_tier="flex", stream=True)} == {"flex"}


def test_better_classes_start_first(busy_server):
    """With one place to wait the second is refused whatever its class: nobody is pushed out."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        low = pool.submit(
            request,
            busy_server.port,
            "POST",
            "/v1/chat/completions",
            chat_body("Hi.", priority="low", max_tokens=1),
            {"X-Valet-Deadline-Ms": "3000"},
        )
        wait_until(lambda: busy_server.pool()["queued"] == 1, ANSWER_S, "a request waits")
        high = post(busy_server, chat_body("Hi.", priority="high", max_tokens=1))
        assert (high.status, high.error()["code"]) == (429, "queue_full")
        assert high.error()["position"] == 1, "it would have gone before the one that waits"
        assert low.result(ANSWER_S).error()["code"] == "deadline_expired"


# ---- bodies that are none ----


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/tokenize"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"model":"\xff"}',
        b'{"model":"\xed\xa0\x80"}',
        b'{"model":"\\ud800"}',
        b'{"seed":1,"seed":1}',
        b'{"metadata":{"a":1,"a":1}}',
        b'{"a":' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"a":' + b"[" * 2_000_000,
        b'{"a":' * 500_000,
        b'{"a":[' + b"1," * 3_000_000 + b"1]}",
    ],
    ids=lambda body: body[:24].decode("latin-1") + f"-{len(body)}",
)
def test_what_is_no_json_is_400(server, path, body):
    answer = post(server, body, path)
    assert (answer.status, answer.error()["code"]) == (400, "invalid_json")
    assert len(answer.body) < 1000


def test_a_body_of_8_mib_is_read_and_one_byte_more_is_not(server):
    head, tail = b'{"colour":"', b'"}'
    for extra, status in ((0, 400), (1, 413)):
        body = head + b"x" * ((8 << 20) + extra - len(head) - len(tail)) + tail
        assert post(server, body).status == status
    assert post(server, chat_body("Hi.", max_tokens=1)).status == 200


def test_a_large_prompt_is_refused_by_its_length(server):
    answer = post(server, chat_body("word " * 1_000_000))
    assert answer.error()["code"] == "context_length_exceeded"
    assert len(json.dumps(answer.error())) < 1000
