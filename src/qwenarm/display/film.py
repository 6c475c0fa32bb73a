"""Films an episode for people: the robot at work and, beside it, what the policy sees, says and does.

Motion runs at the arm's speed or a multiple of it; thinking becomes a still that can be read. The picture is drawn with
shadows, by default from a camera that no policy is shown. Neither the drawing nor its time is part of the episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from qwenarm.body.cameras import cameras_named
from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.display.captions import decision_text, outcome_color, result_text, short_call
from qwenarm.display.text import BACKGROUND_RGB, POINT_RGB, TEXT_RGB, Color, write_lines
from qwenarm.display.video import FilmWriter
from qwenarm.episode.replay import Replayed, replay
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import BadInput
from qwenarm.types import Decision, Episode, Frame, ImagePoint, Observation, SkillCall, SkillResult

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

FILM_SPEEDS = (1, 2, 4)
"""How many times faster than the arm a film may run."""
FILM_SIZES_PX = {"720p": (720, 1280), "1080p": (1080, 1920)}
"""(H, W) of the pictures."""
RAYCAST_HEIGHT_PX = 336
"""The ray caster draws pictures of this height, which are then enlarged: a large one with shadows takes it a second."""
FILM_FPS = round(1 / CONTROL_PERIOD_S)
"""Pictures per second: one per control period at single speed."""
INTRO_S, RESULT_S, END_S = 1.0, 0.5, 2.0
"""How long the scene, each result and the outcome stand still."""
THINKING_S = (1.2, 2.6)
"""The shortest and the longest still after a decision; in between by the length of the text."""
READING_S_PER_CHARACTER = 0.05

DIM_TEXT_RGB = (160, 163, 172)
STATUS_RGB = {"green": (76, 195, 138), "red": (255, 123, 107), "yellow": (227, 179, 65)}


def film_again(env: ArmEnv, episode: Episode, path: Path, speed: int = 2) -> Replayed:
    """Films a recorded episode by replaying it. Raises BadInput, and leaves no file, if the film cannot be written."""
    recorder = FilmRecorder(path, speed)
    try:
        again = replay(env, episode, [recorder])
        if not recorder.written:
            raise BadInput(f"The film {path} cannot be written: {'; '.join(again.failures)}.")
    finally:
        recorder.close()
        if recorder.film.pictures and not recorder.written:  # half a film would be taken for one
            with suppress(OSError):
                path.unlink()
    return again


class FilmRecorder(Watcher):
    """Writes one episode to an MP4, or to a GIF if the name ends so. ``written`` tells whether the film is whole."""

    def __init__(
        self, path: Path | str, speed: int = 2, size: tuple[int, int] = FILM_SIZES_PX["720p"], camera: str = "wide"
    ) -> None:
        """Args:
            path: of the film; its folder is made.
            speed: how many times faster than the arm the film runs, one of FILM_SPEEDS.
            size: (H, W) of the film in pixels.
            camera: whose view is filmed.

        Raises:
            BadInput: for a speed that is not offered, or a name that ends in neither .mp4 nor .gif.
            UnknownName: for a camera that does not exist.
        """
        if speed not in FILM_SPEEDS:
            raise BadInput(
                f"A film cannot run at {speed} times the arm's speed. Valid: {', '.join(map(str, FILM_SPEEDS))}."
            )
        cameras_named([camera])
        self.path, self.speed, self.size, self.camera = Path(path), speed, size, camera
        self.film, self.written = FilmWriter(path, fps=FILM_FPS), False
        self.body: Body | None = None
        self.steps, self.turn = 0, 0
        self.instruction, self.read_as, self.thought, self.call, self.verdict = "", "", "", "", ("", "")
        self.seen: np.ndarray | None = None
        self.goal: np.ndarray | None = None
        self._panel: np.ndarray | None = None

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self.instruction, self.body = env.instruction, env.body
        self.read_as = f"read as: {env.setup.read_as}" if env.setup.read_as else ""
        self._hold(INTRO_S)

    def looked(self, obs: Observation) -> None:
        self.turn += 1
        self.instruction, self.thought, self.call, self.verdict = obs.instruction, "", "", ("", "")
        self._show(obs, ())

    def decided(self, obs: Observation, decision: Decision, seconds: float) -> None:
        self._show(
            obs, [value for call in decision.calls for value in call.args.values() if isinstance(value, ImagePoint)]
        )
        self.thought, self.call = decision.thought, _calls_text(decision)
        self.verdict = (f"thought for {seconds:.1f} s", "") if seconds else ("", "")
        self._hold(thinking_s(decision))

    def calling(self, call: SkillCall) -> None:
        self.call, self.verdict, self._panel = short_call(call), ("", ""), None

    def stepped(self, body: Body) -> None:
        self.steps += 1
        if self.steps % self.speed == 0:
            self.film.add(self._compose(self._scene()))

    def called(self, call: SkillCall, result: SkillResult) -> None:
        self.verdict = (result_text(result), "green" if result.ok else "red")
        self._hold(RESULT_S)

    def finished(self, episode: Episode) -> None:
        self.thought, self.call = "", ""
        self.verdict = (str(episode.outcome), outcome_color(episode.outcome))
        self._hold(END_S)
        self.close()
        self.written = True

    def close(self) -> None:
        """Ends the file, also that of an episode which was stopped; after ``finished`` it does nothing."""
        self.film.close()

    def _show(self, obs: Observation, points: Sequence[ImagePoint]) -> None:
        """Takes over what the policy sees, with points on it, and the picture of the goal where there is one."""
        pictures = {frame.camera: frame for frame in obs.frames}
        goal = pictures.pop("goal", None)
        width = round(self._panel_width * (0.88 if goal is None else 0.68))
        self.goal = framed(goal, (), width) if goal else None
        self.seen = framed(next(iter(pictures.values())), points, width) if pictures else None
        self._panel = None

    @property
    def _panel_width(self) -> int:
        """The scene is 4:3, as all cameras are; the panel takes the rest."""
        return self.size[1] - round(self.size[0] * 4 / 3)

    def _scene(self) -> np.ndarray:
        """The robot at work, (H, 4/3 H, 3) uint8."""
        assert self.body is not None
        height = self.size[0]
        drawn = min(height, RAYCAST_HEIGHT_PX) if choose_renderer() == "raycast" else height
        rgb = self.body.frame(self.camera, (drawn, round(drawn * 4 / 3)), shadows=True).rgb
        if drawn == height:
            return rgb
        return np.asarray(Image.fromarray(rgb).resize((round(height * 4 / 3), height), Image.Resampling.BICUBIC))

    def _hold(self, seconds: float) -> None:
        """Adds a still of the scene as it is, with a panel that is written anew."""
        self._panel = None
        picture = self._compose(self._scene())
        for _ in range(round(seconds * FILM_FPS)):
            self.film.add(picture)

    def _compose(self, scene: np.ndarray) -> np.ndarray:
        """The scene beside the panel, (H, W, 3) uint8. The panel is written only after something has changed."""
        if self._panel is None:
            self._panel = self._write_panel()
        return np.concatenate([scene, self._panel], axis=1)

    def _write_panel(self) -> np.ndarray:
        """What is wanted, seen, thought, called and achieved, from top to bottom."""
        height, width = self.size[0], self._panel_width
        unit = height / 720
        margin, line = round(20 * unit), width - 2 * round(20 * unit)
        panel = Image.new("RGB", (width, height), BACKGROUND_RGB)
        y = write_lines(panel, (margin, margin), self.instruction, round(22 * unit), TEXT_RGB, line, 5)
        y = write_lines(panel, (margin, y), self.read_as, round(14 * unit), DIM_TEXT_RGB, line, 4) + round(10 * unit)
        for title, picture in (("the goal", self.goal), ("what the policy sees", self.seen)):
            if picture is not None:
                y = write_lines(panel, (margin, y), title, round(14 * unit), DIM_TEXT_RGB, line)
                y += round(5 * unit)
                panel.paste(Image.fromarray(picture), (margin, y))
                y += picture.shape[0] + round(12 * unit)
        text, color = self.verdict
        y = write_lines(panel, (margin, y), self.thought, round(15 * unit), DIM_TEXT_RGB, line, 4) + round(4 * unit)
        y = write_lines(panel, (margin, y), self.call, round(20 * unit), TEXT_RGB, line, 4)
        write_lines(panel, (margin, y), text, round(18 * unit), STATUS_RGB.get(color, DIM_TEXT_RGB), line, 4)
        place = f"turn {self.turn}, {self.speed}× speed" if self.turn else f"{self.speed}× speed"
        top = height - round(36 * unit)
        ImageDraw.Draw(panel).rectangle((0, top - round(8 * unit), width, height), fill=BACKGROUND_RGB)
        write_lines(panel, (margin, top), place, round(14 * unit), DIM_TEXT_RGB, line)
        return np.asarray(panel)


def _calls_text(decision: Decision) -> str:
    """The calls in words, or why there are none."""
    return "; ".join(map(short_call, decision.calls)) or decision_text(decision)


def thinking_s(decision: Decision) -> float:
    """How long the still after a decision lasts, in seconds."""
    shortest, longest = THINKING_S
    text = decision.thought + _calls_text(decision)
    return min(max(shortest, READING_S_PER_CHARACTER * len(text)), longest)


def turn_starts_s(episode: Episode, speed: int = 2) -> list[float]:
    """Where each turn begins in the film of an episode, in seconds, and then where the last one ends.

    It follows from the episode, as ``FilmRecorder`` has a fixed length for everything; so a page needs no file beside
    the film.
    """
    stills, steps, starts = round(INTRO_S * FILM_FPS), 0, list[float]()
    for turn in episode.turns:
        starts.append((stills + steps // speed) / FILM_FPS)
        stills += round(thinking_s(turn.decision) * FILM_FPS) + len(turn.results) * round(RESULT_S * FILM_FPS)
        steps += round(turn.sim_time_s / CONTROL_PERIOD_S)
    return [*starts, (stills + steps // speed) / FILM_FPS]


def framed(frame: Frame, points: Sequence[ImagePoint], width: int) -> np.ndarray:
    """What a policy saw, scaled to a width in pixels, with points drawn on it, (H, width, 3) uint8."""
    height = round(width * frame.rgb.shape[0] / frame.rgb.shape[1])
    picture = Image.fromarray(frame.rgb).resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for point in points:
        if point.camera == frame.camera:
            x, y = point.u * width, point.v * height
            rings: tuple[tuple[int, Color, int], ...] = ((9, (0, 0, 0), 5), (8, (255, 255, 255), 4), (7, POINT_RGB, 2))
            for radius, ink, line in rings:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=line)
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=POINT_RGB)
    return np.asarray(picture)
