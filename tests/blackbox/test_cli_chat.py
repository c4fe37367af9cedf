"""`valet run`: one answer, and the chat on a terminal as a person uses it."""

import json
import os
import re
import signal
import subprocess

import pytest

from cli_terminal import (
    ALT_ENTER,
    CTRL_C,
    CTRL_D,
    CTRL_R,
    ENTER,
    ESCAPES,
    LEFT,
    UP,
    Terminal,
)
from valet_server import ANSWER_S, BIN, MODEL, child_env, run_valet

CAPITAL = "What is the capital of Germany?"
STORY = "Tell me a very long story about a fox, a bear and a river."
GREEDY = ("--temperature", "0")
BACKSPACE = "\x7f"


def entries(state):
    """The history file's entries; libedit writes one a line, escaped."""
    first, *lines = (state / "valet" / "history").read_text().splitlines()
    assert first == "_HiStOrY_V2_"
    unescaped = (re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line) for line in lines)
    return [line.encode("latin-1", "ignore").decode() if line.isascii() else line for line in unescaped]


@pytest.fixture
def chat(tmp_path):
    """chat('--flag', ...) gives a terminal at the first prompt of a chat."""
    opened = []

    def start(*flags, **options):
        t = Terminal("run", MODEL, *GREEDY, *flags, state=tmp_path, **options)
        opened.append(t)
        t.greeting = t.prompt()
        return t

    yield start
    for t in opened:
        t.__exit__()


def ended_well(t):
    assert t.end() == 0
    assert t.mode_is_sane()


def objects(text):
    """The lines of JSON in a text; the terminal may have put ^C in front of one."""
    return [json.loads(line.removeprefix("^C")) for line in text.splitlines() if line.endswith("}")]


# ---- one answer ----


def test_stdin_is_the_prompt_where_it_is_no_terminal():
    run = run_valet("run", MODEL, *GREEDY, stdin=CAPITAL + "\n")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == run_valet("run", MODEL, CAPITAL, *GREEDY).stdout
    assert "Berlin" in run.stdout and "\x1b" not in run.stdout
    empty = run_valet("run", MODEL, stdin="\n")
    assert empty.returncode == 1 and empty.stderr == "valet: stdin is empty\n"


def test_json_has_text_usage_and_timings():
    run = run_valet("run", MODEL, CAPITAL, *GREEDY, "--seed", "7", "--json")
    assert run.returncode == 0 and run.stdout.count("\n") == 1
    seen = json.loads(run.stdout)
    assert seen["text"] == "The capital of Germany is Berlin."
    assert seen["finish_reason"] == "stop" and seen["seed"] == 7
    assert seen["usage"] == {
        "prompt_tokens": 37,
        "completion_tokens": 8,
        "total_tokens": 45,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    timings = seen["timings"]
    assert timings["prompt_n"] == 37 and timings["predicted_n"] == 8 and timings["cache_n"] == 0
    assert all(timings[name] > 0 for name in ("prompt_ms", "predicted_ms", "predicted_per_second"))
    cut = json.loads(run_valet("run", MODEL, STORY, *GREEDY, "--max-tokens", "3", "--json").stdout)
    assert cut["finish_reason"] == "length" and cut["usage"]["completion_tokens"] == 3


def test_a_seed_repeats_an_answer_and_the_next_draws_another():
    flags = ("--max-tokens", "12", "--json", "--min-p", "0.01", "--repetition-penalty", "1.1")
    first = json.loads(run_valet("run", MODEL, STORY, *flags).stdout)
    again = json.loads(run_valet("run", MODEL, STORY, *flags, "--seed", str(first["seed"])).stdout)
    assert again["text"] == first["text"]
    assert json.loads(run_valet("run", MODEL, STORY, *flags).stdout)["seed"] != first["seed"]


def test_a_stop_string_ends_an_answer():
    run = run_valet("run", MODEL, CAPITAL, *GREEDY, "--stop", " is")
    assert run.stdout == "The capital of Germany\n"
    assert run_valet("run", MODEL, CAPITAL, "--stop", "").returncode == 2


def test_a_prompt_that_does_not_fit_is_one_line():
    run = run_valet("run", MODEL, "word " * 300, "--ctx-size", "128")
    assert run.returncode == 1 and run.stdout == ""
    assert re.fullmatch(r"valet: the message has 3\d\d tokens and the context 128; see --ctx-size\n", run.stderr)


def test_an_output_that_fails_is_said():
    for flags in ((), ("--json",)):
        with open("/dev/full", "w") as full:
            run = subprocess.run(
                [BIN, "run", MODEL, CAPITAL, *GREEDY, *flags],
                stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=ANSWER_S,
                env=child_env(),
            )
        assert run.returncode == 1
        assert run.stderr == "valet: stdout cannot be written\n"


# ---- the chat ----


def test_a_chat_remembers_what_was_said(chat):
    t = chat("--json", "--max-tokens", "16")
    assert "context 8192" in t.greeting
    (first,) = objects(t.say(CAPITAL))
    (second,) = objects(t.say("And of France?"))
    assert "Berlin" in first["text"] and "Paris" in second["text"]
    assert second["usage"]["prompt_tokens"] > first["usage"]["total_tokens"]
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= 32, "nothing is computed twice"
    t.say("/clear")
    (third,) = objects(t.say(CAPITAL))
    assert third["text"] == first["text"]
    assert third["usage"]["prompt_tokens"] == first["usage"]["prompt_tokens"]
    t.type(CTRL_D)
    ended_well(t)


def test_a_line_is_edited(chat, tmp_path):
    t = chat("--max-tokens", "1")
    t.type("What is the capital of Grmany?" + LEFT * 6 + "e\x05!" + BACKSPACE)
    t.say("")
    t.type("grüß 日本" + BACKSPACE + LEFT + "ö\x01Ä")  # Ctrl-A: the begin
    t.say("")
    t.type("one two\x17three" + ENTER)  # Ctrl-W: without the last word
    t.prompt()
    t.type("/bye" + ENTER)
    ended_well(t)
    assert entries(tmp_path) == [CAPITAL, "Ägrüß ö日", "one three", "/bye"]


def test_what_was_typed_is_there_the_next_time(chat, tmp_path):
    t = chat("--max-tokens", "1")
    for line in ("first", "second", "second"):
        t.say(line)
    t.type(CTRL_D)
    ended_well(t)
    path = tmp_path / "valet" / "history"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert entries(tmp_path) == ["first", "second"]

    t = chat("--max-tokens", "1")
    t.type(UP + UP)
    t.wait("first$")
    t.say("")
    t.type(CTRL_R + "sec")
    t.wait("second")
    t.type(ENTER)
    t.wait(r"cut after 1 tokens.*\n> $")
    t.type(CTRL_D)
    ended_well(t)
    assert entries(tmp_path)[2:] == ["first", "second"]
    assert os.listdir(path.parent) == ["history"], "no draft stays"


def test_the_history_is_bounded(chat, tmp_path):
    path = tmp_path / "valet" / "history"
    path.parent.mkdir()
    path.write_text("_HiStOrY_V2_\n" + "".join(f"line{i}\n" for i in range(1500)))
    t = chat("--max-tokens", "1")
    t.paste("/nothing " + "x" * 5000)
    t.say("")
    t.say("newest")
    t.type(CTRL_D)
    ended_well(t)
    kept = entries(tmp_path)
    assert len(kept) == 1000
    assert kept[-2:] == ["line1499", "newest"]


def test_a_history_that_cannot_be_used_does_not_matter(chat, tmp_path):
    path = tmp_path / "valet" / "history"
    path.parent.mkdir()
    os.mkfifo(path)
    t = chat("--max-tokens", "1", "--no-history")
    t.say("hi")
    t.type(CTRL_D)
    ended_well(t)
    path.unlink()
    path.mkdir()
    t = chat("--max-tokens", "1")
    t.type(CTRL_D)
    ended_well(t)
    assert "the history could not be saved" in t.seen
    assert os.listdir(path.parent) == ["history"]


def test_several_lines_are_one_message(chat, tmp_path):
    t = chat("--max-tokens", "1", "--json")
    t.type('"""What is' + ENTER)
    assert t.wait(r"\.\.\. $")
    t.type("/clear" + ENTER)  # a text like any other in here
    assert t.wait(r"\.\.\. $")
    assert len(objects(t.say('this?"""'))) == 1
    assert len(objects(t.say('"""one line"""'))) == 1
    t.paste("pasted\r\nin three\x1b]\rlines\r")
    assert len(objects(t.say(""))) == 1
    t.type("above" + ALT_ENTER + "below")
    assert len(objects(t.say(""))) == 1
    t.type("/bye" + ENTER)
    ended_well(t)
    assert entries(tmp_path) == [
        "What is\n/clear\nthis?",
        "one line",
        "pasted\nin three]\nlines",
        "above\nbelow",
        "/bye",
    ]


def test_commands_of_the_chat(chat):
    t = chat("--max-tokens", "5", "--json", "--system", "You are a bear.")
    assert "/set NAME VALUE" in t.say("/help") and "/bye" in t.say("/?")
    assert "there is no command /frobnicate" in t.say("/frobnicate now")
    settings = t.say("/set")
    assert re.search(r"temperature +0\n", settings) and re.search(r"system +You are a bear\.\n", settings)
    (bear,) = objects(t.say("Hi."))

    assert "is not a number from 0 to 2" in t.say("/set temperature hot")
    assert "is not a number from 1 to" in t.say("/set max-tokens 0")
    assert "there is no 'threads' to set" in t.say("/set threads 1")
    assert t.say("/set parameter max_tokens 2") == "" and t.say("/set top_p 0.5") == ""
    assert re.search(r"max-tokens +2\n.*", t.say("/set"))
    t.say("/clear")
    (short,) = objects(t.say("Hi."))
    assert short["usage"]["completion_tokens"] == 2 and short["finish_reason"] == "length"
    assert short["usage"]["prompt_tokens"] == bear["usage"]["prompt_tokens"], "/clear keeps the system message"

    t.say("/clear")
    t.say("/set system You are a very big and very old bear.")
    (longer,) = objects(t.say("Hi."))
    assert longer["usage"]["prompt_tokens"] > short["usage"]["prompt_tokens"]
    (path,) = objects(t.say("/usr/bin is a folder"))
    assert path["text"]
    assert t.say("") == ""
    t.type("/bye" + ENTER)
    ended_well(t)


def test_ctrl_c_stops_an_answer_and_the_chat_goes_on(chat):
    t = chat("--max-tokens", "4000")
    t.type(STORY + ENTER)
    t.wait(r"\n\w+ \w+ ")
    t.type(CTRL_C)
    assert "(stopped)" in t.prompt()
    t.say("/set max_tokens 8")
    assert t.say(CAPITAL).strip()
    t.type(CTRL_D)
    ended_well(t)


def test_a_stopped_answer_is_json_too(chat):
    t = chat("--max-tokens", "4000", "--json")
    t.type(STORY + ENTER)
    t.wait(r"\n")
    t.type(CTRL_C)
    text = t.prompt()
    (seen,) = objects(text)
    assert seen["finish_reason"] == "interrupted" and "(stopped)" in text


def test_ctrl_c_drops_what_was_typed_and_twice_ends(chat, tmp_path):
    t = chat()
    t.type("half a question")
    t.wait("half a question$")
    t.type(CTRL_C)
    assert "Ctrl-C again" not in t.prompt()
    t.type(CTRL_C)
    assert "Ctrl-C again" in t.prompt()
    t.say("")  # something else between
    t.type(CTRL_C)
    assert "Ctrl-C again" in t.prompt()
    t.type('"""open' + ENTER)
    t.wait(r"\.\.\. $")
    t.type(CTRL_C)
    assert "Ctrl-C again" not in t.prompt()
    t.type(CTRL_C)
    assert "Ctrl-C again" in t.prompt()
    t.type(CTRL_C)
    ended_well(t)
    assert entries(tmp_path) == []


def test_a_signal_ends_the_chat_and_leaves_the_terminal_in_order(chat, tmp_path):
    for number in (signal.SIGTERM, signal.SIGHUP):
        t = chat("--max-tokens", "1")
        t.say("hi")
        t.send_signal(number)
        assert t.end() == -number
        assert t.mode_is_sane()
    assert entries(tmp_path) == ["hi"]


def test_the_line_is_drawn_again_after_a_stop_and_a_new_size(chat):
    t = chat("--max-tokens", "1")
    t.type("half a line")
    t.wait("half a line$")
    t.resize(20, 60)
    t.type(" more")
    t.wait("more$")
    t.send_signal(signal.SIGSTOP)
    t.send_signal(signal.SIGCONT)
    t.wait("half a line more$")
    t.say("")
    t.type(CTRL_D)
    ended_well(t)


def test_a_conversation_that_grows_too_long_loses_its_oldest_turns(chat):
    t = chat("--ctx-size", "160", "--max-tokens", "16", "--json")
    said = ""
    for i in range(3):
        t.paste(f"Number {i}: " + "word " * 40)
        said = t.say("")
        (seen,) = objects(said)
        assert seen["usage"]["total_tokens"] <= 160
    assert "the context of 160 tokens is full: the oldest 2 messages are forgotten" in said
    before = seen["usage"]["prompt_tokens"]
    t.paste("word " * 300)
    assert "the message has 3" in t.say(""), "one that never fits"
    (seen,) = objects(t.say("Hi."))
    assert seen["usage"]["prompt_tokens"] > before / 2, "and cost nothing of the rest"
    t.type(CTRL_D)
    ended_well(t)


def test_only_answers_go_to_stdout(chat, tmp_path):
    path = tmp_path / "answers"
    with open(path, "w") as file:
        t = chat("--verbose", stdout=file)
        assert "answer 8 tokens" in t.say(CAPITAL)
        t.type(CTRL_D)
        ended_well(t)
    assert path.read_text() == "The capital of Germany is Berlin.\n"


def test_colours_are_for_terminals_that_want_them(chat):
    def escapes(**options):
        t = chat("--max-tokens", "1", "--no-history", **options)
        t.say("hi")
        t.type(CTRL_D)
        ended_well(t)
        return re.findall(r"\x1b\[[0-9;]*m", t.seen)

    assert "\x1b[1;32m" in escapes()
    assert escapes(env={"NO_COLOR": "1"}) == []
    assert escapes(term="dumb") == []


def test_help_and_manual_name_the_flags():
    text = run_valet("run", "--help").stdout
    for flag in ("--json", "--system", "--min-p", "--stop", "--no-history", "--verbose"):
        assert flag in text
    manual = run_valet("man").stdout
    completion = run_valet("completion", "bash").stdout
    for command in ("run", "ps", "stats"):
        assert f".SS valet {command}" in manual
        assert re.search(rf"^ +{command}\) words=.*--json", completion, re.MULTILINE)
    assert ESCAPES.sub("", text) == text
