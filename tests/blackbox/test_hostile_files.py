"""Model files that were cut or made to harm: one clear line, exit status 1, nothing served."""

import json
import sys

import pytest

from valet_server import MODEL, ROOT, run_valet, scaled

sys.path.insert(0, str(ROOT / "fuzz"))
from seeds import gguf_file, model_keys, model_tensors, model_vocabulary  # noqa: E402

HEADER_BYTES = 1_800_000  # of the default model: keys, vocabulary, tensors


INSPECT = ["inspect"]
SERVE = ["serve", "--host", "127.0.0.1", "--port", "0"]


def refused(path, name, commands=(INSPECT, SERVE)):
    for command in commands:
        run = run_valet(*command, str(path))
        said = [line for line in run.stderr.splitlines() if line.startswith("valet: ")]
        assert run.returncode == 1, (command[0], run.returncode, run.stderr)
        assert len(said) == 1 and name in said[0], run.stderr
        assert run.stdout == ""
        assert "server.ready" not in run.stderr


def cuts(size, count):
    """Places from the first byte to the one before the last."""
    count = scaled(count, 3)
    return sorted({(size - 1) * i // (count - 1) for i in range(count)})


def tiny_model():
    keys = [*model_keys("llama", 1), *model_vocabulary(True)]
    return keys, list(model_tensors("llama", 1, 10, "q8_0"))


def split_model():
    keys, tensors = tiny_model()
    for number, own in enumerate((tensors[:4], tensors[4:])):
        split = [("split.no", 4, number), ("split.count", 4, 2)]
        yield gguf_file((keys if number == 0 else []) + split, own)


def test_a_whole_tiny_model_is_shown(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_file(*tiny_model()))
    run = run_valet("inspect", str(path))
    assert run.returncode == 0 and "llama.block_count" in run.stdout, run.stderr


def test_a_cut_model_is_refused(tmp_path):
    data = gguf_file(*tiny_model())
    path = tmp_path / "m.gguf"
    for cut in cuts(len(data), 20):
        path.write_bytes(data[:cut])
        refused(path, "m.gguf")


def test_a_cut_header_of_the_default_model_is_refused(tmp_path):
    with open(MODEL, "rb") as file:
        data = file.read(HEADER_BYTES)
    path = tmp_path / "m.gguf"
    for cut in cuts(len(data), 10):
        path.write_bytes(data[:cut])
        refused(path, "m.gguf")


@pytest.mark.parametrize("number", [0, 1])
def test_a_cut_part_of_a_split_model_is_refused(tmp_path, number):
    paths = [tmp_path / f"m-0000{i + 1}-of-00002.gguf" for i in range(2)]
    parts = list(split_model())
    for path, part in zip(paths, parts):
        path.write_bytes(part)
    assert run_valet("inspect", str(paths[0])).returncode == 0
    for cut in cuts(len(parts[number]), 8):
        paths[number].write_bytes(parts[number][:cut])
        refused(paths[0], f"m-0000{number + 1}-of-00002.gguf")


def test_names_of_a_file_send_no_control_characters(tmp_path):
    path = tmp_path / "m.gguf"
    name = "w\x1b[2J\n"
    path.write_bytes(gguf_file([("general.\x1b[31m\n", 4, 1)], [(name, "f32", [1])]))
    run = run_valet("inspect", "--tensors", str(path))
    assert run.returncode == 0
    assert "general.?[31m?" in run.stdout and "w?[2J?" in run.stdout
    assert "\x1b" not in run.stdout + run.stderr
    keys, tensors = tiny_model()
    path.write_bytes(gguf_file(keys, [*tensors, (name, "f32", [1])]))
    refused(path, "w?[2J?", [SERVE])


def test_a_name_that_is_no_text_is_told_as_json(tmp_path):
    path = tmp_path / "m.gguf"
    keys, tensors = tiny_model()
    path.write_bytes(gguf_file(keys, [*tensors, (b"w\xff", "f32", [1])]))
    run = run_valet("inspect", "--json", str(path))
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert not told["can_serve"] and "'w?'" in told["error"]
