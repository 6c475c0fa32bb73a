"""How the same thing is said: politely and with synonyms, with typing errors, or in Spanish or Chinese."""

from __future__ import annotations

import re

import numpy as np

from qwenarm.errors import BadInput
from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.events import Phrase, reworded
from qwenarm.tasks.core.goal import Setup

FRAMES = (
    "hello! {}. thank you!",
    "whenever it suits you: {}. thanks!",
    "hi, {}, if you do not mind",
    "dear friend, this is for you: {}. many thanks",
    "sorry to bother you, but {}",
    "it would be lovely if this could be done: {}",
    "right, now {}. there is no hurry",
    "good morning! here it comes: {}. thanks in advance",
)
SYNONYMS = {
    "cube": "block", "cubes": "blocks", "ball": "sphere", "balls": "spheres", "tray": "plate", "trays": "plates",
    "box": "crate", "boxes": "crates", "purple": "violet",
}  # fmt: skip
KEYS = {
    "a": "s", "b": "v", "c": "x", "d": "f", "e": "r", "g": "h", "h": "j", "i": "o", "k": "l", "l": "k", "m": "n",
    "n": "m", "o": "p", "p": "o", "r": "t", "s": "d", "t": "y", "u": "i", "v": "b", "w": "e", "x": "c", "y": "t",
}  # fmt: skip
"""A key next to each on a keyboard."""
LONG = 4
"""Shorter words are typed without an error."""
SHARE = 0.4
"""Of the longer words that have one; at least one has."""
LANGUAGES = ("es", "zh")


def change(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Other words for the same wish, now and whenever they change on the way. Raises BadInput at strength 3 if the task
    does not come with translations.
    """
    if strength == 1:
        frame, swapped = FRAMES[int(rng.integers(len(FRAMES)))], rng.random(len(SYNONYMS)) < 0.6
        chosen = {word: other for (word, other), now in zip(SYNONYMS.items(), swapped, strict=True) if now}
        return reworded(setup, lambda phrase: frame.format(paraphrased(phrase.text, chosen)))
    if strength == 2:
        return reworded(setup, lambda phrase: mistyped(rng, phrase.text))
    language = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
    return reworded(setup, lambda phrase: _translated(phrase, language))


def paraphrased(text: str, synonyms: dict[str, str]) -> str:
    """With synonyms in the place of words, and without the mark at its end."""
    return re.sub(r"[a-z]+", lambda word: synonyms.get(word[0], word[0]), text).rstrip(" .?")


def mistyped(rng: np.random.Generator, text: str) -> str:
    """With letters swapped, left out, doubled, or struck on the next key; the first of a word is always right."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(re.sub(r"\W", "", word)) >= LONG]
    for i in sorted(rng.permutation(long)[: max(1, round(SHARE * len(long)))] if long else []):
        words[i] = _struck(rng, words[i])
    return " ".join(words)


def _struck(rng: np.random.Generator, word: str) -> str:
    """One error in a word, not in its first letter."""
    places = [i for i in range(1, len(word)) if word[i].isalpha()]
    at, kind = places[int(rng.integers(len(places)))], int(rng.integers(4))
    if kind == 0 and at + 1 < len(word) and word[at + 1].isalpha() and word[at + 1] != word[at]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + KEYS.get(word[at], word[at] * 2) + word[at + 1 :]


def _translated(phrase: Phrase, language: str) -> str:
    if language not in phrase.translations:
        raise BadInput(
            f"{phrase.text!r} has no translation: words:3 needs a task that says it in {', '.join(LANGUAGES)}."
        )
    return phrase.translations[language]


AXIS = Axis("words", "The words.", ("polite, with synonyms", "typing errors", "Spanish or Chinese"), change)
