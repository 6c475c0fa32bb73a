"""Text to speech with ``espeak-ng``, for measuring how well speech is understood."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

import numpy as np

from qwenarm.errors import BadInput
from qwenarm.voice.sound import MIN_LENGTH_S, SAMPLE_RATE_HZ, resample

ESPEAK_RATE_HZ = 22_050
WAV_HEADER_BYTES = 44
SPEAKING_LIMIT_S = 30.0


@dataclass(frozen=True)
class Speaker:
    """How something is spoken.

    Attributes:
        voice: One of espeak-ng, with a variant behind "+", as in "en-us+f3"; `espeak-ng --voices` lists them.
        words_per_minute: From 80; 160 is calm, 220 hurried.
        snr_db: Loudness of the speech over white noise; infinite without noise.
    """

    voice: str = "en-us"
    words_per_minute: int = 160
    snr_db: float = float("inf")

    def say(self, text: str, rng: np.random.Generator) -> np.ndarray:
        """The spoken text, (n,) float32 in [-1, 1], 16 kHz.

        Args:
            text: What is said.
            rng: Draws the noise.

        Raises:
            BadInput: espeak-ng is missing or has no such voice.
        """
        speech = resample(_espeak(text, self.voice, self.words_per_minute), ESPEAK_RATE_HZ)
        level = np.sqrt(np.mean(np.square(speech, dtype=np.float64))) * 10 ** (-self.snr_db / 20)
        return np.clip(speech + level * rng.normal(size=len(speech)), -1, 1).astype(np.float32)


def find_espeak() -> str:
    """The path of the program. Raises BadInput if it is missing."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise BadInput("Speech is made by the program espeak-ng: apt install espeak-ng, or brew install espeak-ng.")
    return program


def _espeak(text: str, voice: str, words_per_minute: int) -> np.ndarray:
    """(n,) float32 at ESPEAK_RATE_HZ. The text is read from standard input, so that it is never taken for an option."""
    command = [find_espeak(), "-v", voice, "-s", str(words_per_minute), "--stdin", "--stdout"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=SPEAKING_LIMIT_S)
    pcm = np.frombuffer(done.stdout[WAV_HEADER_BYTES:], "<i2")  # the header of a stream does not know the length
    if done.returncode or len(pcm) < MIN_LENGTH_S * SAMPLE_RATE_HZ:
        reason = " ".join(done.stderr.decode(errors="replace").split())[:200] or "no sound came"
        raise BadInput(f"espeak-ng cannot say {text[:60]!r} with the voice {voice!r}: {reason}.")
    return pcm.astype(np.float32) / 32768
