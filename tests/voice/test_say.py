"""`qwenarm run --say`: a recording drives the arm, with the real bundled model."""

import hashlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tests.voice.test_sphinx import FOLDER, RECORDINGS

from qwenarm.cli import play
from qwenarm.cli.main import main
from qwenarm.episode import trace
from qwenarm.voice.sound import SAMPLE_RATE_HZ, to_wav

PUT = FOLDER / "put.wav"


def say(capsys, *args):
    code = main(["run", "--no-film", *map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_recording_drives_the_arm_and_stands_in_the_trace(tmp_path, capsys):
    code, out, _ = say(capsys, "--say", PUT, "--seed", 3, "--out", tmp_path)
    assert code == 0
    heard, moved = out.index(f"heard: {RECORDINGS['put.wav']}"), out.index("pick")
    assert heard < out.index("read as: red cube in blue bowl") < moved and "success" in out
    (episode,) = trace.read(tmp_path).episodes
    assert episode.outcome == "success" and episode.instruction == RECORDINGS["put.wav"]
    sha256 = hashlib.sha256(PUT.read_bytes()).hexdigest()
    record = {"heard": episode.instruction, "file": "put.wav", "sha256": sha256, "recognizer": "pocketsphinx"}
    assert episode.run.speech == record
    assert (tmp_path / "instruction.wav").read_bytes() == PUT.read_bytes()
    assert "heard: put the red cube" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_on_a_terminal_what_was_heard_can_be_corrected(monkeypatch):
    monkeypatch.setattr(play, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr(play, "out", SimpleNamespace(is_terminal=True))
    monkeypatch.setattr("builtins.input", lambda _: "stack the red cube on the blue cube")
    assert play._corrected("stack the bread cube") == "stack the red cube on the blue cube"
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert play._corrected("stack the cube") == "stack the cube"


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros(SAMPLE_RATE_HZ), "is silent"),
        (np.random.default_rng(0).normal(size=SAMPLE_RATE_HZ) * 0.1, "understood no word"),
    ],
)
def test_an_empty_or_noisy_recording_moves_nothing(tmp_path, capsys, samples, said):
    (tmp_path / "a.wav").write_bytes(to_wav(samples))
    code, out, err = say(capsys, "--say", tmp_path / "a.wav", "--out", tmp_path / "run")
    assert (
        code == 2 and said in err and err.count("error") == 1 and not (tmp_path / "run").exists() and "pick" not in out
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--say", "none.wav"], "No such file"),
        (["--say", PUT, "put", "it", "there"], "choose one of them"),
        (["--say", PUT, "--listen"], "choose one of them"),
        (["--say", PUT, "--recognizer", "no/such/folder"], "cannot be loaded"),
        (["--say", PUT, "--recognizer", "http://localhost:1"], "must name a server and its model"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, capsys, args, said):
    code, _, err = say(capsys, *args, "--out", tmp_path / "run")
    assert code == 2 and said in err and not (tmp_path / "run").exists()


def test_without_a_microphone_listen_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # as if it were not installed
    code, _, err = say(capsys, "--listen", "--out", tmp_path / "run")
    assert code == 2 and "needs the package sounddevice" in err


def test_without_pocketsphinx_the_choices_are_named(tmp_path, capsys, monkeypatch):
    from qwenarm.voice.sphinx import load_sphinx

    load_sphinx.cache_clear()
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    code, _, err = say(capsys, "--say", PUT, "--out", tmp_path / "run")
    assert code == 2 and "pip install 'qwenarm[voice]'" in err and "URL#MODEL" in err
