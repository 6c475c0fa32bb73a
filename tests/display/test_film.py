"""The film: whole for whole episodes, playable for stopped ones, and legible whatever is said, in any language."""

from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from qwenarm.display.film import FILM_FPS, FilmRecorder, framed, turn_starts_s
from qwenarm.display.text import REPLACEMENT_CHARACTER, drawable, font, wrap, write_lines
from qwenarm.episode.drive import drive
from qwenarm.errors import BadInput, UnknownName
from qwenarm.factory import make_env, perform
from qwenarm.types import Decision, Episode, Frame, ImagePoint, Observation, RunConfig, SkillCall

SMALL = (90, 160)
CHINESE = "把红色方块放进蓝色的碗里，"
WORDS = ["", "word " * 200, "x" * 500, CHINESE * 30, "pon el cubo rojo aquí — ¡ya! ¿sí? ñ", "\u2028\n\n🤖 é"]


class Timed(FilmRecorder):
    """Notes how long the film is whenever a turn begins, and when the last one has ended."""

    def __init__(self, path: Path, speed: int) -> None:
        super().__init__(path, speed, SMALL)
        self.starts_s: list[float] = []

    def looked(self, obs: Observation) -> None:
        self.starts_s.append(self.film.pictures / FILM_FPS)
        super().looked(obs)

    def finished(self, episode: Episode) -> None:
        self.starts_s.append(self.film.pictures / FILM_FPS)
        super().finished(episode)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Episode, list[Timed]]:
    """One episode at two speeds, at the slower one as a GIF."""
    folder = tmp_path_factory.mktemp("films")
    recorders = [Timed(folder / "new" / "film.mp4", 4), Timed(folder / "film.gif", 2)]
    (episode,) = drive([perform(RunConfig("rearrange", policy="oracle", clock="latency:0.5"), 2, None, recorders)])
    return episode, recorders


@pytest.mark.render
def test_an_episode_becomes_a_film_of_its_length(filmed):
    episode, recorders = filmed
    assert all(recorder.written for recorder in recorders) and not episode.run.watcher_failures
    film = iio.imread(recorders[0].path)
    moving_s = sum(turn.sim_time_s for turn in episode.turns) / 4
    assert film.shape[1:] == (*SMALL, 3)
    assert moving_s < len(film) / FILM_FPS < moving_s + 5 * (1 + len(episode.turns))
    assert np.abs(film[0].astype(int) - film[-1]).mean() > 2  # something has happened
    assert recorders[0].goal is not None, "rearrange shows the picture of the goal"
    assert Image.open(recorders[1].path).format == "GIF"


@pytest.mark.render
def test_a_page_finds_each_turn_in_the_film(filmed):
    episode, recorders = filmed
    for recorder in recorders:
        assert turn_starts_s(episode, recorder.speed) == pytest.approx(recorder.starts_s)
        assert all(early < late for early, late in pairwise(recorder.starts_s))


@pytest.mark.render
def test_a_stopped_episode_leaves_a_playable_film(tmp_path):
    recorder = FilmRecorder(tmp_path / "film.mp4", size=SMALL)
    env = make_env(RunConfig("put", policy="idle"))
    env.reset(seed=1)
    recorder.started(env, "idle", 1)
    for _ in range(4):
        env.body.step(env.body.hold())
        recorder.stepped(env.body)
    recorder.close()
    recorder.close()
    assert not recorder.written and len(iio.imread(recorder.path)) == FILM_FPS + 2


def test_a_speed_or_camera_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(BadInput, match="1, 2, 4"):
        FilmRecorder(tmp_path / "film.mp4", speed=3)
    with pytest.raises(UnknownName, match="overhead"):
        FilmRecorder(tmp_path / "film.mp4", camera="behind")


def test_points_are_drawn_on_their_camera_only():
    frame = Frame(np.zeros((24, 32, 3), np.uint8), "front")
    assert framed(frame, [ImagePoint(0.5, 0.5, camera="wrist")], 64).max() == 0
    marked = framed(frame, [ImagePoint(0.5, 0.25)], 64)
    assert marked.shape == (48, 64, 3) and marked[12, 32].max() > 200 and marked[40].max() == 0


@pytest.mark.parametrize("words", WORDS)
def test_any_words_fit_into_the_panel(words):
    recorder = FilmRecorder("unused.mp4", size=(360, 640))
    recorder.instruction, recorder.thought, recorder.call, recorder.verdict = words, words, words, (words, "red")
    panel = recorder._compose(np.full((360, 480, 3), 200, np.uint8))[:, 480:]
    assert panel.shape == (360, 160, 3)
    assert (panel[:, :8] == panel[0, 0]).all() and (panel[:, -6:] == panel[0, 0]).all()


def test_a_caption_is_drawn_without_control_characters():
    assert drawable("red\u202e cube\x1b[31m\u200f\x07") == "red cube[31m"


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("width", [60, 300])
def test_wrapped_lines_fit_and_lose_nothing_but_what_is_cut(words, width):
    lines = wrap(words, 16, width, max_lines=4)
    assert len(lines) <= 4 and all(font(16).getlength(line) <= width for line in lines)
    whole = "".join(wrap(words, 16, width, max_lines=1000)).replace(" ", "")
    assert whole == drawable(words).replace(" ", "")
    assert "".join(lines).replace(" ", "").removesuffix("…").strip() in whole


def test_chinese_and_accents_are_drawn_and_what_no_font_has_is_a_dot():
    assert drawable("放 碗 é ñ ¿ ß Ж") == "放 碗 é ñ ¿ ß Ж"
    assert drawable("a 🤖") == f"a {REPLACEMENT_CHARACTER}"
    pictures = []
    for text in ("放", "碗", "é", "ñ"):
        picture = Image.new("RGB", (40, 40))
        assert write_lines(picture, (0, 0), text, 20, (255, 255, 255), 40) > 20
        pictures.append(picture.tobytes())
    assert len(set(pictures)) == 4, "each has its own shape, none is the box of a missing glyph"


def test_calls_are_shown_in_words():
    recorder = FilmRecorder("unused.mp4", size=SMALL)
    recorder._hold = lambda seconds: None  # type: ignore[method-assign]
    call = SkillCall("pick", {"at": ImagePoint(0.5, 0.5, "red cube")})
    raw = '<tool_call>\n{"name": "pick", "arguments": {}}\n</tool_call>'
    recorder.decided(Observation((), None, "put it"), Decision((call,), "It is free.", raw), 0.0)  # type: ignore[arg-type]
    assert recorder.call == "pick red cube" and recorder.thought == "It is free."
