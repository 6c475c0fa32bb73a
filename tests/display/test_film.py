"""The film: whole for whole episodes, playable for stopped ones, and legible whatever is said."""

import imageio.v3 as iio
import numpy as np
import pytest

from qwenarm.display.film import FPS, STRIP, FilmRecorder, framed, spoken
from qwenarm.episode.rollout import drive
from qwenarm.factory import RunConfig, make_env, perform
from qwenarm.types import Decision, Frame, ImagePoint, SkillCall

STRIDE = 6  # drawing with shadows is what takes the time


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("qwenarm.display.film.SIZE", (96, 128))
    monkeypatch.setattr("qwenarm.display.film.RAYCAST_SIZE", (96, 128))
    monkeypatch.setattr("qwenarm.display.film.STRIDE", STRIDE)


def test_an_episode_becomes_a_film_of_its_length(tmp_path):
    recorder = FilmRecorder(tmp_path / "a" / "film.mp4")
    (episode,) = drive([perform(RunConfig("put", policy="oracle"), 2, None, [recorder])])
    assert recorder.written and "watchers that failed" not in episode.setup
    film = iio.imread(recorder.path)
    moving = sum(turn.sim_time_s for turn in episode.turns) / STRIDE
    assert film.shape[1:] == (96 + STRIP, 128, 3)
    assert moving < len(film) / FPS < moving + 20
    assert np.abs(film[0].astype(int) - film[-1]).mean() > 2  # something has happened


def test_a_stopped_episode_leaves_a_playable_film(tmp_path):
    recorder = FilmRecorder(tmp_path / "film.mp4")
    env = make_env(RunConfig("put", policy="idle"))
    env.reset(seed=1)
    recorder.started(env, "idle", 1)
    for _ in range(2 * STRIDE):
        env.body.step(env.body.hold())
        recorder.stepped(env.body)
    recorder.close()
    recorder.close()
    assert not recorder.written and len(iio.imread(recorder.path)) == FPS + 2


def test_points_are_drawn_on_their_camera_only():
    frame = Frame(np.zeros((24, 32, 3), np.uint8), "front")
    assert framed(frame, [ImagePoint(0.5, 0.5, camera="wrist")], 64).max() == 0
    marked = framed(frame, [ImagePoint(0.5, 0.25)], 64)
    assert marked.shape == (48, 64, 3) and marked[12, 32].max() > 200 and marked[40].max() == 0


@pytest.mark.parametrize(
    "words", ["", "word " * 200, "x" * 500, "放红色\n\n在碗里 \u2028 🤖", "<tool_call>{}</tool_call>"]
)
def test_any_words_fit_into_the_strip(words):
    recorder = FilmRecorder("unused.mp4")
    recorder.words, recorder.said, recorder.call, recorder.turn = words, spoken(Decision(raw=words)), words, 1
    recorder.verdict = (words, "red")
    picture = recorder._compose(np.full((96, 128, 3), 200, np.uint8))
    assert picture.shape == (96 + STRIP, 128, 3)
    assert (picture[96:, :10] == picture[-1, 0]).all() and (picture[96:, -10:] == picture[-1, 0]).all()


def test_what_is_said_is_one_line_without_tags():
    assert spoken(Decision(raw='<tool_call>\n{"name": "done"}\n</tool_call>')) == '{"name": "done"}'
    assert spoken(Decision((SkillCall("done"),), thought="the goal\nholds")) == "the goal holds"
