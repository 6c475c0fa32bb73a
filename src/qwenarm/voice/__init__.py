"""Speech to text: what a user says, as the words of an instruction.

A recogniser has one method, from sound to text. Which one is meant follows from its name, as with models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qwenarm.errors import BadInput
from qwenarm.voice.sound import Sound

DEFAULT_RECOGNIZER = "pocketsphinx"
MAX_TEXT_CHARS = 2000
"""Maximum length of a text: more than anybody says in the minute that a recording may last."""


class Recognizer(Protocol):
    """Turns sound into text."""

    @property
    def name(self) -> str:
        """The name that the user gave."""
        ...

    def transcribe(self, samples: np.ndarray) -> str:
        """The words in a recording, "" if there are none.

        Args:
            samples: (n,) float32 in [-1, 1], mono, 16 kHz.

        Raises:
            ModelUnavailable: The recogniser does not work.
        """
        ...


def open_recognizer(name: str = DEFAULT_RECOGNIZER) -> Recognizer:
    """Opens a recogniser.

    Args:
        name: "pocketsphinx"; a URL with the server's model behind "#"; otherwise a checkpoint's folder or Hub id.

    Raises:
        BadInput, ModelUnavailable: It cannot be opened; the message says what is missing.
    """
    if name == DEFAULT_RECOGNIZER:
        from qwenarm.voice.sphinx import load_sphinx

        return load_sphinx()
    if name.lower().startswith(("http://", "https://")):
        from qwenarm.voice.server import TranscriptionServer

        return TranscriptionServer(name)
    from qwenarm.voice.checkpoint import SpeechCheckpoint

    return SpeechCheckpoint(name)


@dataclass(frozen=True)
class Spoken:
    """An instruction that was spoken.

    Attributes:
        heard: The words as they were recognised, on one line, without control characters.
        sound: The recording.
        recognizer: The name of what recognised them.
    """

    heard: str
    sound: Sound
    recognizer: str

    def record(self) -> Mapping[str, str]:
        """What ``RunInfo.speech`` holds."""
        file = {"file": self.sound.name, "sha256": self.sound.sha256}
        return {"heard": self.heard, **file, "recognizer": self.recognizer}


def recognize(sound: Sound, recognizer: Recognizer) -> Spoken:
    """The words in a recording.

    Raises:
        BadInput: Nothing was said or understood, or the answer is longer than any instruction.
        ModelUnavailable: The recogniser does not work.
    """
    text = recognizer.transcribe(sound.samples)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) > MAX_TEXT_CHARS:
        raise BadInput(f"{recognizer.name} heard {len(text)} characters in {sound.name}, which is no instruction.")
    if not any(c.isalnum() for c in text):
        raise BadInput(f"{recognizer.name} understood no word in {sound.name}: speak closer to the microphone.")
    return Spoken(text, sound, recognizer.name)
