"""The instruction is spoken by espeak-ng and recognised by pocketsphinx: the policy is told what was heard."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.events import reworded
from qwenarm.tasks.core.goal import Setup
from qwenarm.voice.sphinx import import_pocketsphinx, load_sphinx
from qwenarm.voice.synthesis import Speaker, find_espeak

ESPEAK_VOICES = ("en-gb", "en-us+f3", "en-gb-x-rp+f2", "en-us+m3", "en-gb-scotland", "en-gb-x-rp+m7", "en-029")
"""Accents and speakers besides the clear one, men and women. With "en-gb" alone espeak-ng 1.51 ignores a variant."""
CALM_WPM, HURRIED_WPM = 160, 200
"""Words a minute."""
NOISE_SNR_DB = 15.0


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Speaks the instruction, and every later one of the episode, and lets the recogniser hear them.

    English only: what words:3 translates is not spoken.
    """
    voice, noise_seed = ESPEAK_VOICES[int(rng.integers(len(ESPEAK_VOICES)))], int(rng.integers(2**31))
    speakers = Speaker(), Speaker(voice, CALM_WPM), Speaker(voice, HURRIED_WPM, NOISE_SNR_DB)
    return reworded(setup, lambda phrase: heard(phrase.text, speakers[strength - 1], noise_seed))


@lru_cache(maxsize=4096)
def heard(text: str, speaker: Speaker, noise_seed: int) -> str:
    """What the recogniser understands of a spoken text."""
    return load_sphinx().transcribe(speaker.say(text, np.random.default_rng(noise_seed)))


def check() -> None:
    """Raises BadInput where espeak-ng or pocketsphinx is missing."""
    find_espeak()
    import_pocketsphinx()


PERTURBATION = Perturbation(
    ("a clear voice", "another voice or accent", "another voice, hurried, in noise"), perturb, check=check
)
