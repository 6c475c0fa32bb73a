"""A decision in other words is the same decision."""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch

from qwenarm.train.batches import Example, Reader
from qwenarm.train.dataset import Shard
from qwenarm.train.sft import Corpus
from qwenarm.train.variations import NAMES, varied


def text_of(example: Example) -> str:
    return example[1]["messages"][-1]["content"][-1]["text"]


def test_typing_errors_are_in_the_task_and_nowhere_else(examples: Sequence[Example]):
    for seed, example in enumerate(examples[:40]):
        mistyped, again = (varied(example, np.random.default_rng(seed), 1.0) for _ in range(2))
        task, others = (re.search(r"\nTask: (.*)", text_of(each))[1] for each in (example, mistyped))
        assert task != others and text_of(example).replace(task, "", 1) == text_of(mistyped).replace(others, "", 1)
        assert mistyped[1]["answer"] == example[1]["answer"]
        assert again == mistyped != varied(example, np.random.default_rng(seed + 1), 1.0)
        assert varied(example, np.random.default_rng(seed), 0.0)[1] is example[1], "as it is"


HIDDEN = "red cube", "black ball"
ASKED = "\nTask: bring the red cube to the box\nHistory: say red cube at 1 2; black ball at 3 4: ok\nHand: empty"
COVER = '{"name": "pick", "arguments": {"at": {"label": "cover of the red cube", "point_2d": [1, 1]}}}'


def which_cover(example: Example, shown: bool = False, asked: str = ASKED) -> Example:
    """The decision which cover to lift; by the picture of an example in which other things are seen, or these."""
    shard, line = example
    seen = set(np.unique(shard.pictures(line["masks"])[0]).tolist()) - {0}
    free = iter(sorted(seen) if shown else sorted(set(range(1, 20)) - seen))
    labels = dict(zip(free, HIDDEN, strict=False))
    things = [{**line["objects"][0], "label": labels.get(k, f"thing {k}")} for k in range(1, 20)]
    *pictures, said = line["messages"][-1]["content"]
    messages = [line["messages"][0], {"role": "user", "content": [*pictures, {**said, "text": asked}]}]
    return shard, {**line, "objects": things, "answer": COVER, "messages": messages}


@pytest.fixture
def decision(examples: Sequence[Example]) -> Example:
    return next(each for each in examples if len(each[1]["images"]) == 1 and len(each[1]["points"]) == 1)


def test_what_no_picture_shows_gets_another_name_everywhere(decision: Example):
    before = which_cover(decision)
    changed = [varied(before, np.random.default_rng(seed), 0.0) for seed in range(20)]
    changed = [each for each in changed if each[1] is not before[1]]
    assert len(changed) > 8
    for after in changed:
        wanted, other = re.search(r"say (.*) at 1 2; (.*) at 3 4", text_of(after)).groups()
        assert {wanted, other} <= set(NAMES) - {"red cube", "black ball"} and wanted != other
        assert text_of(after) == text_of(before).replace("red cube", wanted).replace("black ball", other)
        assert f'"cover of the {wanted}"' in after[1]["answer"] and after[1]["points"] == before[1]["points"]


def test_what_is_seen_or_is_named_in_other_words_keeps_its_name(decision: Example):
    mistyped = ASKED.replace("bring the red cube", "bring the rde cube")
    for seed in range(20):
        shown = which_cover(decision, shown=True)
        assert varied(shown, np.random.default_rng(seed), 0.0)[1] is shown[1]
        asked = varied(which_cover(decision, asked=mistyped), np.random.default_rng(seed), 0.0)
        assert "say red cube at" in text_of(asked)


def test_a_corpus_reads_decisions_in_other_words_where_it_is_told_to(shards: list[Shard], reader: Reader):
    corpus = Corpus(shards, reader, {})
    chosen = corpus.draw([0], 8)
    mistyped = partial(varied, rng=np.random.default_rng(1), typing_errors=1.0)
    plain, other = corpus.batches(chosen), corpus.batches(chosen, mistyped)
    assert all(a.ids.shape != b.ids.shape or (a.ids != b.ids).any() for a, b in zip(plain, other, strict=True))
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(plain, corpus.batches(chosen), strict=True))
