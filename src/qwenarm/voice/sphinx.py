"""The embedded recogniser: PocketSphinx with the English model of its wheel and our own language model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from qwenarm.errors import import_optional
from qwenarm.voice import language_model
from qwenarm.voice.sound import SAMPLE_RATE_HZ, to_pcm

NOISE_FLOOR_DB = -30.0
"""White noise this far below the speech is added: PocketSphinx hears words in the digital silence of a synthesiser."""
PADDING_S = 0.3
"""Silence that is put before and after the sound: a recording often begins with its first word."""
SEARCH_BEAM, WORD_BEAM = 1e-80, 1e-48
"""Wider than the defaults of PocketSphinx: the vocabulary is small, and the search costs hardly more."""
OTHER_PRONUNCIATIONS = {
    "dices": "D AY S IH Z", "json": "JH EY S AA N", "kg": "K IH L AH G R AE M Z",
    "leftmost": "L EH F T M OW S T", "rightmost": "R AY T M OW S T",
    "frontmost": "F R AH N T M OW S T", "rearmost": "R IH R M OW S T",
    **dict.fromkeys(language_model.PAUSE_CHARACTERS, "SIL"),
}  # fmt: skip
"""Words that the dictionary of the wheel lacks. A pause is a silence."""


@cache
def load_sphinx() -> Sphinx:
    """The one recogniser of this process."""
    return Sphinx()


def import_pocketsphinx() -> Any:
    """The package. Raises BadInput if it is not installed."""
    missing = (
        "Speech is recognised by the package pocketsphinx: pip install 'qwenarm[voice]', or name another "
        "recogniser (a server's URL#MODEL, a checkpoint's folder or Hub id)."
    )
    return import_optional("pocketsphinx", missing)


class Sphinx:
    """Recognises English instructions on the CPU. The same sound always gives the same text.

    words: All that it can hear.
    """

    name = "pocketsphinx"

    def __init__(self) -> None:
        library = import_pocketsphinx()
        spoken = _pronunciations(Path(library.get_model_path("en-us/cmudict-en-us.dict")))
        drawn = [part for words in language_model.sentences() for part in _known_parts(words, spoken)]
        self.words = frozenset(word for words in drawn for word in words)
        with TemporaryDirectory() as folder:  # it loads files only
            model, dictionary = Path(folder, "arpa"), Path(folder, "dict")
            model.write_text(language_model.arpa(drawn))
            dictionary.write_text(_dictionary(spoken, self.words))
            files = {"lm": str(model), "dict": str(dictionary)}
            beams = {"beam": SEARCH_BEAM, "pbeam": SEARCH_BEAM, "wbeam": WORD_BEAM}
            self._decoder = library.Decoder(library.Config(**files, **beams, loglevel="FATAL"))

    def transcribe(self, samples: np.ndarray) -> str:
        """See ``Recognizer``."""
        self._decoder.start_utt()
        self._decoder.process_raw(to_pcm(_prepared(samples)), full_utt=True)  # no state is left for the next
        self._decoder.end_utt()
        found = self._decoder.hyp()
        words = found.hypstr.split() if found else []
        return language_model.joined(words)


def _prepared(samples: np.ndarray) -> np.ndarray:
    """The sound between two short silences, with a floor of noise that depends on the sound alone."""
    padded = np.pad(samples, int(PADDING_S * SAMPLE_RATE_HZ))
    level = np.sqrt(np.mean(np.square(padded, dtype=np.float64))) * 10 ** (NOISE_FLOOR_DB / 20)
    return padded + level * np.random.default_rng(0).normal(size=len(padded))


def _pronunciations(dictionary: Path) -> dict[str, list[str]]:
    """Every word's pronunciations, as phones."""
    spoken: dict[str, list[str]] = {}
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        word, phones = line.split(maxsplit=1)
        spoken.setdefault(word.partition("(")[0], []).append(phones)
    return spoken | {word: [phones] for word, phones in OTHER_PRONUNCIATIONS.items()}


def _known_parts(words: Sequence[str], known: Collection[str]) -> Iterator[list[str]]:
    """A sentence cut where a word has no pronunciation, such as a typing error or a Spanish number."""
    yield from (list(part) for is_known, part in groupby(words, known.__contains__) if is_known)


def _dictionary(spoken: dict[str, list[str]], words: Collection[str]) -> str:
    """The file of some words' pronunciations: "read R EH D", "read(2) R IY D"."""
    return "".join(
        f"{word}{f'({number})' if number > 1 else ''} {phones}\n"
        for word in sorted(words)
        for number, phones in enumerate(spoken[word], 1)
    )
