"""Any usual WAV file is read, a wrong one is told in one sentence, and a stream ends where the speech ends."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from qwenarm.errors import BadInput
from qwenarm.voice.sound import SAMPLE_RATE_HZ, first_sentence, from_wav, read_wav, to_pcm, to_wav

FOLDER = Path(__file__).parent
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)


def tone(rate):
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_rate_type_and_number_of_channels_gives_the_same_sound(tmp_path, rate, kind, channels):
    samples = tone(rate)
    if kind == "uint8":
        samples = samples * 127 + 128
    elif kind.startswith("int"):
        samples = samples * np.iinfo(kind).max
    samples = samples.astype(kind)
    wavfile.write(tmp_path / "a.wav", rate, samples if channels == 1 else np.stack([samples] * channels, axis=1))
    read = read_wav(tmp_path / "a.wav").samples
    assert read.dtype == np.float32 and read.shape == (SAMPLE_RATE_HZ,)
    assert np.abs(read - TONE)[500:-500].max() < 0.02


def test_what_is_written_is_read_again():
    again = from_wav(to_wav(TONE), "a.wav")
    assert np.abs(again.samples - TONE).max() < 1e-3 and len(again.sha256) == 64


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a WAV file"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "not a WAV file"),
        (b"ID3" + b"\0" * 5000, "not a WAV file"),
        (to_wav(np.zeros(SAMPLE_RATE_HZ)), "is silent"),
        (to_wav(TONE[:100]), "lasts 0.006"),
        (to_wav(np.tile(TONE, 61)), "lasts 61 s"),
    ],
    ids=["empty", "header", "mp3", "silent", "short", "long"],
)
def test_a_wrong_recording_is_told_in_one_sentence(data, said):
    with pytest.raises(BadInput, match=said) as told:
        from_wav(data, "a.wav")
    assert "\n" not in str(told.value)


def test_a_file_of_an_impossible_rate_or_without_numbers_is_refused(tmp_path):
    wavfile.write(tmp_path / "rate.wav", 500_000_000, TONE.astype(np.float32))
    wavfile.write(tmp_path / "nan.wav", 16000, np.full(16000, np.nan, np.float32))
    for name, said in (("rate.wav", "500000000 samples"), ("nan.wav", "is silent"), ("none.wav", "No such file")):
        with pytest.raises(BadInput, match=said):
            read_wav(tmp_path / name)


def test_a_truncated_recording_never_ends_in_a_traceback():
    whole = (FOLDER / "put.wav").read_bytes()
    for length in (10, 20, 36, 43, 44, 45, 100, 5000, 20_001):
        try:
            from_wav(whole[:length], "cut.wav")
        except BadInput:
            continue
        assert length > 5000


def frames(samples, size):
    pcm = to_pcm(samples)
    return [pcm[i : i + size] for i in range(0, len(pcm) - size + 1, size)]


def test_a_stream_is_cut_where_the_sentence_ends():
    from pocketsphinx import Endpointer

    speech, quiet = read_wav(FOLDER / "put.wav").samples, np.zeros(SAMPLE_RATE_HZ * 2)
    size = Endpointer(sample_rate=SAMPLE_RATE_HZ).frame_bytes
    said = iter(frames(np.concatenate([quiet, speech, quiet, speech]), size))
    heard = first_sentence(said)
    assert 0.6 * len(speech) < len(heard) < 1.4 * len(speech)
    assert len(list(said)) > len(speech) * 2 // size  # the second sentence is still to come
    with pytest.raises(BadInput, match="Nothing was said within 20 s"):
        first_sentence(frames(np.zeros(SAMPLE_RATE_HZ * 30), size))
