"""Recorded and hand-written replies."""

import json

import pytest

from qwenarm.errors import BadInput
from qwenarm.mind.backends.scripted import Scripted, read_script
from qwenarm.types import Completion, Prompt

PROMPT = Prompt(({"role": "user", "content": "?"},), max_tokens=5)


def test_replies_in_order():
    script = Scripted(["one", Completion("two", finish="length")])
    assert [c.text for c in script.generate([PROMPT, PROMPT])] == ["one", "two"]
    with pytest.raises(BadInput, match="2 replies"):
        script.generate([PROMPT])


def test_a_function_sees_the_prompt():
    script = Scripted(lambda prompt: prompt.messages[0]["content"], family="qwen3_5")
    assert script.generate([PROMPT])[0].text == "?"
    assert script.family.dialect == "xml"


def test_a_file_of_replies(tmp_path):
    path = tmp_path / "script.jsonl"
    path.write_text('"one"\n\n{"text": "two", "finish": "length"}\n')
    assert read_script(path) == [Completion("one"), Completion("two", finish="length")]


def test_what_was_said_in_an_episode(tmp_path):
    path = tmp_path / "episodes.jsonl"
    turns = [
        {"completions": [{"text": "one", "finish": "stop"}]},
        {"completions": []},
        {"completions": [{"text": "two"}]},
    ]
    path.write_text(json.dumps({"schema": 1, "turns": turns}) + "\n")
    assert [reply.text for reply in read_script(path)] == ["one", "two"]


@pytest.mark.parametrize("line", ["hello", "3", '{"turns": [3]}', '{"text": 3}', '{"words": "one"}', "["])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "script.jsonl"
    path.write_text(f'"one"\n{line}\n')
    with pytest.raises(BadInput, match="Line 2"):
        read_script(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(BadInput, match="Cannot read"):
        read_script(tmp_path / "nothing.jsonl")
