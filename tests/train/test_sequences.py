"""Branches of one packed sequence are, to the model, prompts of their own; and the prompts are those of the closed
loop.
"""

from dataclasses import astuple, replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from qwenarm.body.objects.spec import HELD_OUT
from qwenarm.mind.coordinates import decode
from qwenarm.mind.prompt.messages import parse, system_text, tool_schemas, user_text
from qwenarm.mind.prompt.presets import BUNDLED
from qwenarm.train.bundled import ask_all
from qwenarm.train.labels import VIEWS, Pictures, patches
from qwenarm.train.learner import Learner
from qwenarm.train.questions import HOLLOW, Question, things
from qwenarm.train.sequences import FAMILY, SIZES, answer_text, prompt_text, read_branches


def _questions(pictures: Pictures) -> list[list[Question]]:
    return ask_all(np.random.default_rng(3), pictures, 4)


def test_every_question_has_an_answer_that_reads_back(learner: Learner, pictures: Pictures):
    for question in chain(*_questions(pictures)):
        decision = parse(answer_text(question), learner.sequencer.specs, FAMILY, SIZES)
        assert decision.error is None
        assert decision.calls[0].name == question.skill
        if question.row >= 0:
            at = decision.calls[0].args["at"]
            assert at.label == question.label
            assert max(abs(at.u - question.u), abs(at.v - question.v)) <= 0.0006


def test_prompts_are_those_of_the_closed_loop(learner: Learner):
    question = Question(
        "put the red cube in the blue bowl", "pick red cube: ok", True, "place", "blue bowl", 0, 0.5, 0.5
    )
    text = prompt_text(learner.tokenizer, question, learner.sequencer.specs)
    assert system_text(BUNDLED, FAMILY, SIZES) in text
    assert user_text(question.instruction, question.history, True) in text
    assert len(tool_schemas(learner.sequencer.specs, ("front",), BUNDLED.tool_docs)) == text.count(
        '{"type": "function", "function"'
    )
    assert text.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("camera", range(len(VIEWS)))
def test_a_packed_branch_equals_a_prompt_of_its_own(learner: Learner, pictures: Pictures, camera: int):
    """The law that makes training and the closed loop the same: equal states, by transformers' own forward pass."""
    model: Any = learner.model.float().eval()
    one = replace(Pictures(*(column[:1] for column in astuple(pictures))), camera=np.array([camera]))
    questions = _questions(one)[0]
    assert len(questions) >= 2
    batch = learner.sequencer.batch([questions])
    grid = torch.tensor([[1, one.rgb.shape[1] // 16, one.rgb.shape[2] // 16]])
    with torch.no_grad():
        seen = model.model.visual(patches(one.rgb), grid_thw=grid)
        table = model.get_input_embeddings().weight
        branches = read_branches(
            model.model.language_model, table, learner.sequencer, batch, seen, one.camera, attentions=False
        ).last_hidden_state
        for branch, label, question in zip(branches, batch.label, questions, strict=True):
            name = VIEWS[camera]
            text = prompt_text(learner.tokenizer, question, learner.sequencer.specs, name)
            text = (
                text.replace("<|image_pad|>", "<|image_pad|>" * learner.sequencer.cells)
                + answer_text(question)
                + "<|im_end|>"
            )
            ids = torch.tensor([learner.tokenizer(text)["input_ids"]])
            kinds = (ids == learner.sequencer.image).long()
            alone = model.model(
                input_ids=ids,
                pixel_values=patches(one.rgb),
                image_grid_thw=grid,
                mm_token_type_ids=kinds,
                use_cache=False,
            ).last_hidden_state
            length = int((label >= 0).nonzero().max()) + 2
            torch.testing.assert_close(branch[:length], alone[0, -length:], atol=2e-4, rtol=1e-3)
    learner.model.to(torch.bfloat16)


def test_the_sequence_says_where_to_look(learner: Learner, pictures: Pictures):
    question = next(q for q in chain(*_questions(pictures)) if q.row >= 0 and not q.free)
    _, label, number, row = learner.sequencer.branch(question)
    told = [n for n in number if n >= 0]
    u, v = decode(FAMILY.codec, (told[0], told[1]), SIZES["front"])
    assert max(abs(u - question.u), abs(v - question.v)) <= 0.0006
    assert [r for r, n in zip(row, number, strict=True) if n >= 0] == [question.row] * 2
    assert all(r == -1 for r, y in zip(row, label, strict=True) if y == -100)


def test_no_question_names_a_held_out_pair(pictures: Pictures):
    named = [f"{color} {shape}" for color, shape in HELD_OUT]
    rng = np.random.default_rng(5)
    for _ in range(20):
        for question in chain(*ask_all(rng, pictures, 6)):
            assert not any(label in f"{question.instruction} {question.history} {question.label}" for label in named)


def test_short_names_name_one_container_alone(pictures: Pictures):
    rng = np.random.default_rng(6)
    short = 0
    for rows, asked in zip(pictures.objects, ask_all(rng, pictures, 60), strict=True):
        hollow = [thing for thing in things(rows) if thing.shape in HOLLOW]
        for question in asked:
            named = [t for t in hollow if question.label in (t.shape, f"{t.color} container")]
            short += len(named)
            assert len(named) <= 1
            assert all(t.row == question.row for t in named)
    assert short > 10


def test_attention_is_told_of_every_word_that_a_label_repeats(learner: Learner):
    """Of full names and of short ones: what predicts a word of the label looks at that word in the task."""
    for label in ("blue bowl", "bowl", "blue container"):
        words = f"put the red cube in the {label}"
        question = Question(words, "pick red cube: ok", True, "place", label, 0, 0.5, 0.5)
        batch = learner.sequencer.batch([[question]])
        looks = batch.told[0].nonzero()
        seen = learner.tokenizer.batch_decode(batch.ids[0, looks[:, 1]][:, None])
        told = learner.tokenizer.batch_decode(batch.label[0, looks[:, 0]][:, None])
        assert [word.strip() for word in seen] == [word.strip() for word in told] == label.split()
