"""A place that cannot be written to is one sentence and exit code 2, before the work and not after it."""

import errno
from pathlib import Path

import pytest

from qwenarm.cli.main import main

COMMANDS = {
    "run": ["run", "--task", "put", "--policy", "idle", "--out"],
    "eval": ["eval", "--task", "put", "--seeds", "1", "--policy", "idle", "--out"],
    "probe": ["probe", "--model", "scripted:/nowhere", "--out"],
    "collect": ["collect", "--task", "put", "--episodes", "1", "--out"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("place", ["/proc/nothing/here", "{file}/below"])
def test_an_unwritable_place_is_told_at_once(capsys, tmp_path, words, place):
    (tmp_path / "file").write_text("a file")
    assert main([*words, place.format(file=tmp_path / "file")]) == 2
    told = capsys.readouterr()
    assert told.err.count("error") == 1 and "Traceback" not in told.err
    assert Path(place).parts[1] in told.err or "file" in told.err


def test_a_film_that_cannot_be_written_is_no_success(capsys, tmp_path):
    assert main(["run", "--policy", "idle", "--no-film", "--out", str(tmp_path / "run")]) == 0
    assert main(["replay", str(tmp_path / "run"), "--film", "/proc/nothing/film.mp4"]) == 2
    told = capsys.readouterr()
    assert "cannot be written" in told.err and "Traceback" not in told.err and "bit for bit" not in told.out


def test_a_full_disk_is_told_of_the_file_that_is_written_not_of_the_one_that_is_read(capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "read", None, "written")  # as shutil.copy does

    monkeypatch.setattr("qwenarm.cli.main.parse", full)
    assert main(["train", "sft"]) == 2
    assert "Cannot read or write written: No space left on device." in capsys.readouterr().err


def test_a_port_that_does_not_exist_is_told(capsys):
    assert main(["run", "--task", "put", "--model", "http://127.0.0.1:99999#qwen"]) == 2
    assert "99999" in capsys.readouterr().err
