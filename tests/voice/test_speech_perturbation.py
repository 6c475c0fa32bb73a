"""The perturbation "speech": what is spoken is heard with errors, the same ones for the same seed."""

import os
import shutil

import numpy as np
import pytest

from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput
from qwenarm.perturbations import parse, speech
from qwenarm.voice.language_model import all_texts
from qwenarm.voice.synthesis import Speaker

SEEDS = range(4)
espeak = pytest.mark.skipif(
    not (shutil.which("espeak-ng") or os.environ.get("QWENARM_REQUIRE_ESPEAK")), reason="espeak-ng is not installed"
)


def instructions(perturbations, task="put", seeds=SEEDS):
    env = ArmEnv(task, cameras=(), perturbations=parse(perturbations))
    return [list(all_texts(env.build(seed))) for seed in seeds]


@espeak
def test_a_clear_voice_is_understood_and_a_hurried_one_in_noise_is_not():
    typed, clear, hurried = (instructions(text) for text in ("", "speech:1", "speech:3"))
    assert sum(a == b for a, b in zip(typed, clear, strict=True)) >= 3
    assert typed != hurried and all(text for texts in hurried for text in texts)


@espeak
def test_the_same_seed_is_heard_the_same_without_any_memory():
    first = instructions("speech:2", seeds=range(2))
    speech.heard.cache_clear()
    assert instructions("speech:2", seeds=range(2)) == first


@espeak
def test_later_instructions_of_an_episode_are_spoken_too():
    typed, hurried = instructions("", "recall"), instructions("speech:3", "recall")
    assert [len(texts) for texts in typed] == [len(texts) for texts in hurried]
    assert max(map(len, typed)) > 1 and any(a[1:] != b[1:] for a, b in zip(typed, hurried, strict=True))


@espeak
def test_every_voice_sounds_different():
    """espeak-ng ignores what it does not know behind a "+"."""
    rng = np.random.default_rng(0)
    sounds = {Speaker(voice).say("put it there", rng).tobytes() for voice in ("en-us", *speech.ESPEAK_VOICES)}
    assert len(sounds) == 1 + len(speech.ESPEAK_VOICES)


@espeak
def test_an_unknown_voice_is_told_in_one_sentence():
    with pytest.raises(BadInput, match="no such voice"):
        speech.heard("put it there", Speaker("no such voice"), 0)


def test_without_espeak_it_is_refused_before_anything_is_played(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="apt install espeak-ng"):
        ArmEnv("put", perturbations=parse("speech:1"))
    assert parse("speech:0") == ()
