"""Sound as numbers: read from a WAV file, recorded with the microphone, written back."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from qwenarm.errors import BadInput, import_optional

SAMPLE_RATE_HZ = 16_000
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MIN_LENGTH_S, MAX_LENGTH_S = 0.2, 60.0
MAX_FILE_BYTES = 64_000_000
MAX_SILENT_PEAK = 0.003
"""A recording whose loudest sample is below this (-50 dB of full scale) is silent."""
LISTEN_LIMIT_S = 20.0
"""The microphone is closed after this time, whatever is heard."""


@dataclass(frozen=True)
class Sound:
    """A recording.

    Attributes:
        samples: (n,) float32 in [-1, 1], mono, 16 kHz.
        name: Its file's name, for messages and the trace.
        wav: The bytes of the file.
    """

    samples: np.ndarray
    name: str
    wav: bytes

    @property
    def sha256(self) -> str:
        """The hash of the file."""
        return hashlib.sha256(self.wav).hexdigest()


def read_wav(path: Path | str) -> Sound:
    """A WAV file of any usual format and number of channels.

    Raises:
        BadInput: It cannot be read, is too short or too long, or holds silence.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"{path} has more than {MAX_FILE_BYTES // 1_000_000} MB: record a few seconds only.")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"Cannot read the recording {path}: {error.strerror}.") from error
    return from_wav(data, path.name)


def from_wav(data: bytes, name: str) -> Sound:
    """The same for the bytes of a WAV file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # unknown chunks and short data
            rate, samples = wavfile.read(BytesIO(data))
    except Exception as error:  # of many kinds; the file is to blame
        raise BadInput(f"{name} is not a WAV file that can be read; convert it to 16-bit PCM.") from error
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise BadInput(f"{name} has {rate} samples a second; {MIN_RATE_HZ} to {MAX_RATE_HZ} can be read.")
    if not MIN_LENGTH_S <= len(samples) / rate <= MAX_LENGTH_S:
        raise BadInput(
            f"{name} lasts {len(samples) / rate:.2g} s; an instruction lasts {MIN_LENGTH_S:g} to {MAX_LENGTH_S:g} s."
        )
    mono = _mono(samples)
    if not np.isfinite(mono).all() or np.abs(mono).max() < MAX_SILENT_PEAK:
        raise BadInput(f"{name} is silent: nothing was recorded.")
    return Sound(resample(mono, rate), name, data)


def _mono(samples: np.ndarray) -> np.ndarray:
    """(n,) float32 in [-1, 1] from (n,) or (n, channels) in any of the types of a WAV file."""
    mono = samples.astype(np.float64) if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float64)
    if samples.dtype == np.uint8:
        mono = (mono - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        mono = mono / -float(np.iinfo(samples.dtype).min)
    return np.clip(mono, -1, 1).astype(np.float32)


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (n,) at a rate in Hz, as float32 at 16 kHz."""
    if rate == SAMPLE_RATE_HZ:
        return samples.astype(np.float32)
    from scipy.signal import resample_poly  # takes a second or two to import

    common = gcd(rate, SAMPLE_RATE_HZ)
    return resample_poly(samples, SAMPLE_RATE_HZ // common, rate // common).astype(np.float32)


def to_pcm(samples: np.ndarray) -> bytes:
    """Float samples in [-1, 1] as 16-bit integers."""
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def to_wav(samples: np.ndarray) -> bytes:
    """A 16-bit WAV file of mono samples at 16 kHz."""
    file = BytesIO()
    wavfile.write(file, SAMPLE_RATE_HZ, np.frombuffer(to_pcm(samples), "<i2"))
    return file.getvalue()


def listen() -> Sound:
    """Records one sentence with the default microphone, until the speaker is silent.

    Raises:
        BadInput: There is no microphone, a package is missing, or nothing was said.
    """
    endpointer = _endpointer()
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, the PortAudio library is not
        raise BadInput(
            "--listen needs the package sounddevice (pip install 'qwenarm[voice]') and, on Linux, the library "
            "PortAudio (apt install libportaudio2)."
        ) from error
    size = endpointer.frame_bytes // 2
    try:
        with sounddevice.RawInputStream(SAMPLE_RATE_HZ, size, channels=1, dtype="int16") as stream:
            frames = (bytes(stream.read(size)[0]) for _ in iter(int, 1))
            return from_wav(to_wav(first_sentence(frames, endpointer)), "microphone.wav")
    except sounddevice.PortAudioError as error:
        raise BadInput(f"The microphone cannot be opened: {error}; record a WAV file and use --say.") from error


def _endpointer() -> Any:
    missing = "--listen needs the package pocketsphinx: pip install 'qwenarm[voice]'."
    return import_optional("pocketsphinx", missing).Endpointer(sample_rate=SAMPLE_RATE_HZ)


def first_sentence(frames: Iterable[bytes], endpointer: Any = None) -> np.ndarray:
    """The first stretch of speech in a stream.

    Args:
        frames: 16-bit mono PCM at 16 kHz, ``endpointer.frame_bytes`` each; it may go on forever.
        endpointer: Finds where speech begins and ends; by default that of pocketsphinx.

    Returns:
        (n,) float32.

    Raises:
        BadInput: Nothing was said.
    """
    endpointer = endpointer or _endpointer()
    speech = b"".join(_speech(frames, endpointer))
    if not speech:
        raise BadInput(f"Nothing was said within {LISTEN_LIMIT_S:g} s.")
    return np.frombuffer(speech, "<i2").astype(np.float32) / 32768


def _speech(frames: Iterable[bytes], endpointer: Any) -> Iterator[bytes]:
    heard_s = 0.0
    for frame in frames:
        heard_s += endpointer.frame_length
        speech = endpointer.process(frame)
        if speech is not None:
            yield speech
        if (speech is not None and not endpointer.in_speech) or heard_s > LISTEN_LIMIT_S:
            return
