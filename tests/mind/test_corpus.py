"""Answers in the formats that the families are documented to write, troubles included, and what must come of each."""

import json
from pathlib import Path

import pytest

from qwenarm.mind.families import MODEL_FAMILIES, family_named
from qwenarm.mind.parsing.parse import parse
from qwenarm.types import FormatError, ImagePoint, SkillCall

# One answer a line: what was seen (family, what, source: facts, retold for our scenes), its text, and the calls or the
# error that must result; notes are repairs that must be counted.
ANSWERS = [
    json.loads(line) for line in (Path(__file__).parent / "corpus" / "answers.jsonl").read_text("utf-8").splitlines()
]
SIZES = {"front": (480, 640)}


def expected(name, args):
    points = {key: ImagePoint(*value) if isinstance(value, list) else value for key, value in args.items()}
    return SkillCall(name, points)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer['family']}: {answer['what']}")
def test_every_documented_answer_gives_its_decision(specs, answer):
    decision = parse(
        answer["text"],
        specs,
        family_named(answer["family"]),
        SIZES,
        max_calls=answer.get("max_calls", 1),
        finish=answer.get("finish", "stop"),
    )
    if "error" in answer:
        assert decision.error is FormatError(answer["error"]), decision
        assert decision.calls == ()
    else:
        assert decision.error is None, decision.detail
        assert decision.calls == tuple(expected(*call) for call in answer["calls"])
    assert set(answer.get("notes", ())) <= set(decision.notes), decision.notes


def test_the_corpus_covers_every_family_and_every_error():
    assert {answer["family"] for answer in ANSWERS} == {family.name for family in MODEL_FAMILIES}
    assert {answer["error"] for answer in ANSWERS if "error" in answer} == {error.value for error in FormatError}
    assert len({(answer["family"], answer["what"]) for answer in ANSWERS}) == len(ANSWERS)
    assert all(answer["source"] and ("calls" in answer) != ("error" in answer) for answer in ANSWERS)
