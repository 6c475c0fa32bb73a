"""Another wording of the instruction: polite and with synonyms, with typing errors, or in Spanish or Chinese."""

from __future__ import annotations

import re

import numpy as np

from qwenarm.errors import BadInput
from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.events import Phrase, reworded
from qwenarm.tasks.core.goal import Setup

POLITE_FRAMES = (
    "hello! {}. thank you!",
    "whenever it suits you: {}. thanks!",
    "hi, {}, if you do not mind",
    "dear friend, this is for you: {}. many thanks",
    "sorry to bother you, but {}",
    "it would be lovely if this could be done: {}",
    "right, now {}. there is no hurry",
    "good morning! here it comes: {}. thanks in advance",
)
SYNONYM_OF = {
    "cube": "block", "cubes": "blocks", "ball": "sphere", "balls": "spheres", "tray": "plate", "trays": "plates",
    "box": "crate", "boxes": "crates", "purple": "violet",
}  # fmt: skip
NEIGHBOURING_KEYS = {
    "a": "s", "b": "v", "c": "x", "d": "f", "e": "r", "g": "h", "h": "j", "i": "o", "k": "l", "l": "k", "m": "n",
    "n": "m", "o": "p", "p": "o", "r": "t", "s": "d", "t": "y", "u": "i", "v": "b", "w": "e", "x": "c", "y": "t",
}  # fmt: skip
"""For each letter, one next to it on the keyboard."""
SYNONYM_SHARE = 0.6
"""Share of the synonyms that are used."""
MIN_MISTYPED_LENGTH = 4
"""Shorter words are typed without an error."""
MISTYPED_SHARE = 0.4
"""Share of the longer words that have an error; at least one has."""
TRANSLATED_LANGUAGES = ("es", "zh")


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Rewords the instruction and all later ones. Raises BadInput at strength 3 if the task has no translations."""
    if strength == 1:
        frame = POLITE_FRAMES[int(rng.integers(len(POLITE_FRAMES)))]
        swapped = rng.random(len(SYNONYM_OF)) < SYNONYM_SHARE
        chosen = {word: other for (word, other), now in zip(SYNONYM_OF.items(), swapped, strict=True) if now}
        return reworded(setup, lambda phrase: frame.format(paraphrased(phrase.text, chosen)))
    if strength == 2:
        return reworded(setup, lambda phrase: mistyped(rng, phrase.text))
    language = TRANSLATED_LANGUAGES[int(rng.integers(len(TRANSLATED_LANGUAGES)))]
    return reworded(setup, lambda phrase: _translated(phrase, language))


def paraphrased(text: str, synonyms: dict[str, str]) -> str:
    """Returns the text with synonyms, and without the punctuation mark at its end."""
    return re.sub(r"[a-z]+", lambda word: synonyms.get(word[0], word[0]), text).rstrip(" .?")


def mistyped(rng: np.random.Generator, text: str) -> str:
    """Returns the text with letters swapped, left out, doubled or mistyped, but no word's first letter."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(re.sub(r"\W", "", word)) >= MIN_MISTYPED_LENGTH]
    for i in sorted(rng.permutation(long)[: max(1, round(MISTYPED_SHARE * len(long)))] if long else []):
        words[i] = _struck(rng, words[i])
    return " ".join(words)


def _struck(rng: np.random.Generator, word: str) -> str:
    """Returns the word with one error that is not in its first letter."""
    places = [i for i in range(1, len(word)) if word[i].isalpha()]
    at, kind = places[int(rng.integers(len(places)))], int(rng.integers(4))
    if kind == 0 and at + 1 < len(word) and word[at + 1].isalpha() and word[at + 1] != word[at]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + NEIGHBOURING_KEYS.get(word[at], word[at] * 2) + word[at + 1 :]


def _translated(phrase: Phrase, language: str) -> str:
    if language not in phrase.translations:
        raise BadInput(f"{phrase.text!r} has no translation into {language!r}; words:3 needs a task with translations.")
    return phrase.translations[language]


PERTURBATION = Perturbation(("polite, with synonyms", "typing errors", "Spanish or Chinese"), perturb)
