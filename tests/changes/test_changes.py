"""Contract of every axis: no strength no change, same seed same change, and what it does not touch stays as it was."""

from dataclasses import replace

import pytest

from qwenarm.assemble import Choice, env_of, make_env, perform
from qwenarm.changes import STRONGEST, checked, parse, spell
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput, UnknownName
from qwenarm.registry import list_names, load
from qwenarm.rollout import drive

AXES = list_names("changes")


@pytest.mark.parametrize("text", ["", "light:1", "light:2,look:3"])
def test_text_and_pairs_say_the_same(text):
    assert spell(parse(text)) == text
    assert parse(spell(parse(text))) == parse(text)


def test_order_and_strength_zero_make_no_difference():
    assert parse(" look:1 , light:2,") == parse("light:2,look:1") == (("light", 2), ("look", 1))
    assert parse("light:0") == parse("") == ()


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("lihgt:1", UnknownName, "Did you mean 'light'"),
        ("light", BadInput, "AXIS:STRENGTH"),
        ("light:many", BadInput, "AXIS:STRENGTH"),
        (":2", UnknownName, "light"),
        ("light:4", BadInput, "0 to 3"),
        ("light:1,light:2", BadInput, "twice"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_valid_choices(text, error, words):
    with pytest.raises(error, match=words):
        parse(text)


@pytest.mark.parametrize("name", AXES)
def test_an_entry_says_what_its_strengths_do(name):
    axis = load("changes", name)
    assert axis.name == name and axis.doc
    assert len(axis.strengths) == STRONGEST == len(set(axis.strengths))


def built(changes, task="put", seed=3, **kwargs):
    env = ArmEnv(task, cameras=(), changes=checked(changes), **kwargs)
    env.reset(seed=seed)
    return env


@pytest.mark.parametrize("name", AXES)
def test_no_strength_is_no_change(name):
    control, zero = built(()), built([(name, 0)])
    assert zero.setup == control.setup and zero.changes == () and zero._arm is control._arm


def test_changes_are_part_of_an_episode_and_of_its_replay():
    choice = Choice("put", policy="idle", changes=parse("light:2"))
    assert choice.options()["changes"] == "light:2" and "changes" not in replace(choice, changes=()).options()
    (episode,) = drive([perform(choice, 3, None)])
    again, same = env_of(episode), make_env(choice)
    assert again.changes == (("light", 2),)
    for env in (again, same):
        env.reset(seed=3)
    assert again.setup == same.setup
