"""The embedded recogniser hears the instructions in the two recordings, and knows every word of the lexicon."""

from pathlib import Path

import numpy as np
import pytest

from qwenarm.tasks.language.language import load_language
from qwenarm.tasks.language.read_instruction import read
from qwenarm.tasks.language.vocabulary import ENGLISH_COLORS, ENGLISH_NOUNS, ENGLISH_PLURALS, SHADES
from qwenarm.voice import language_model, open_recognizer
from qwenarm.voice.sound import SAMPLE_RATE_HZ, read_wav
from qwenarm.voice.sphinx import load_sphinx

FOLDER = Path(__file__).parent
RECORDINGS = {
    "put.wav": "put the red cube in the blue bowl",
    "stack.wav": "stack the green cube on the yellow cube",
}
"""Spoken by espeak-ng 1.51: en-us at 180 words a minute, en-us+f3 at 150."""
ABBREVIATIONS = {"plz", "pls", "thx", "ty"}
"""Typed, and never said."""


@pytest.mark.parametrize(("file", "said"), RECORDINGS.items())
def test_a_recorded_instruction_is_heard_the_same_whatever_came_before(file, said):
    recognizer, samples = open_recognizer(), read_wav(FOLDER / file).samples
    assert recognizer.transcribe(samples) == said
    recognizer.transcribe(read_wav(FOLDER / "stack.wav").samples * 0.1)
    assert recognizer.transcribe(samples) == said


def test_loudness_makes_no_difference():
    samples = read_wav(FOLDER / "put.wav").samples
    assert load_sphinx().transcribe(samples * 0.2) == load_sphinx().transcribe(samples)


def test_every_word_of_the_lexicon_can_be_heard():
    english = [word for phrase in load_language("en").phrases if phrase.isascii() for word in phrase.split()]
    spanish = set(load_language("es").words)
    wanted = {
        word
        for text in (*english, *ENGLISH_COLORS, *SHADES["en"], *ENGLISH_NOUNS, *ENGLISH_PLURALS)
        for word in words(text)
    }
    missing = wanted - load_sphinx().words - ABBREVIATIONS - spanish - {"nd", "rd"}  # of "2nd" and "3rd"
    assert not missing


def words(text):
    return [word for word in language_model.spoken_words(text) if word not in language_model.PAUSE_CHARACTERS]


@pytest.mark.parametrize("text", ["put the red cube on the tray", "sort by colour: cubes in the box, balls in bowls"])
def test_words_and_pauses_make_the_text_again(text):
    assert language_model.joined(language_model.spoken_words(text)) == text


def test_the_sentences_are_the_same_each_time_and_of_every_kind():
    drawn = language_model.sentences()
    assert drawn == language_model.sentences()
    texts = " / ".join(map(" ".join, drawn))
    assert all(part in texts for part in ("sort by colour", "how many", "parcel", "swap", "tower"))


def test_noise_may_be_taken_for_a_word_but_never_for_a_wish():
    noise = np.random.default_rng(0).normal(size=2 * SAMPLE_RATE_HZ).astype(np.float32) * 0.1
    heard = load_sphinx().transcribe(noise)
    assert not heard or not read(heard).wish
