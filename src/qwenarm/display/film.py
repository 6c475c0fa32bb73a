"""Films an episode for people: the robot at work, what the model sees with its points on it, and what it says and does.

Motion runs in simulated time or a multiple of it; thinking becomes a still that can be read. The picture is drawn with
shadows, from a camera that the policy is not shown; neither the drawing nor its time is part of the episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.display.captions import decision_text, outcome_color, result_text, short_call
from qwenarm.display.mp4 import FilmWriter
from qwenarm.episode.watchers import Watcher
from qwenarm.types import Decision, Episode, Frame, ImagePoint, Observation, SkillCall, SkillResult

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

CAMERA = "wide"
SIZE = (448, 640)
"""(H, W) of the picture; the caption strip comes below it."""
STRIP = 96
FPS = 20
"""Pictures a second of film: one per control period at single speed."""
RAYCAST_SIZE = (336, 480)
"""The ray caster takes a third of a second for a large picture with shadows."""
STRIDE = 2
"""A picture every so many control periods, so that films run at twice the speed and take half as long to draw."""
INSET = 0.35
"""Width of what the model sees, as a part of the picture's."""
STILL_S = (1.2, 2.6)
"""Shortest and longest still after a decision; in between by the length of the words."""
RESULT_S, END_S = 0.5, 2.0

Color = tuple[int, int, int]
INK, SOFT, PAPER = (238, 236, 230), (160, 163, 172), (22, 23, 27)
COLORS = {"green": (76, 195, 138), "red": (255, 123, 107), "yellow": (227, 179, 65)}
MARK = (255, 72, 88)


class FilmRecorder(Watcher):
    """Writes one episode to an MP4.

    ``written`` says whether there is a whole film at ``path``.
    """

    def __init__(self, path: Path | str) -> None:
        self.path, self.written = Path(path), False
        self.words, self.said, self.call, self.turn, self.steps = "", "", "", 0, 0
        self.film = FilmWriter(path, fps=FPS)
        self.verdict: tuple[str, str] = ("", "")
        self.size = SIZE
        self.seen: np.ndarray | None = None
        self.body: Body | None = None

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self.words, self.body = env.instruction, env.body
        self.size = RAYCAST_SIZE if choose_renderer() == "raycast" else SIZE
        self._hold(1.0, self._scene())

    def looked(self, obs: Observation) -> None:
        self.turn += 1
        self.words = obs.instruction
        self.seen = framed(obs.frames[0], (), self._inset) if obs.frames else None
        self.said, self.call, self.verdict = "", "", ("", "")

    def decided(self, obs: Observation, decision: Decision, seconds: float) -> None:
        points = [value for call in decision.calls for value in call.args.values() if isinstance(value, ImagePoint)]
        self.seen = framed(obs.frames[0], points, self._inset) if obs.frames else None
        self.said, self.call = spoken(decision), decision_text(decision)
        self.verdict = (f"thought for {seconds:.1f} s", "") if seconds else ("", "")
        self._hold(min(max(STILL_S[0], 0.05 * len(self.said)), STILL_S[1]), self._scene())

    def calling(self, call: SkillCall) -> None:
        self.call, self.verdict = short_call(call), ("", "")

    def stepped(self, body: Body) -> None:
        self.steps += 1
        if self.steps % STRIDE == 0:
            self.film.add(self._compose(self._scene()))

    def called(self, call: SkillCall, result: SkillResult) -> None:
        self.verdict = (result_text(result), "green" if result.ok else "red")
        self._hold(RESULT_S, self._scene())

    def finished(self, episode: Episode) -> None:
        self.said, self.call = "", ""
        self.verdict = (str(episode.outcome), outcome_color(episode.outcome))
        self._hold(END_S, self._scene())
        self.close()
        self.written = True

    def close(self) -> None:
        """Ends the file, also that of an episode which was stopped midway; after ``finished`` it does nothing."""
        self.film.close()

    def _scene(self) -> np.ndarray:
        assert self.body is not None
        return self.body.frame(CAMERA, self.size, shadows=True).rgb

    @property
    def _inset(self) -> int:
        return round(INSET * self.size[1])

    def _hold(self, seconds: float, scene: np.ndarray) -> None:
        picture = self._compose(scene)
        for _ in range(round(seconds * FPS)):
            self.film.add(picture)

    def _compose(self, scene: np.ndarray) -> np.ndarray:
        """The picture with the inset and the caption strip, (H + STRIP, W, 3) uint8."""
        height, width = scene.shape[:2]
        canvas = Image.new("RGB", (width, height + STRIP), PAPER)
        canvas.paste(Image.fromarray(scene), (0, 0))
        if self.seen is not None:
            _paste_inset(canvas, self.seen)
        draw = ImageDraw.Draw(canvas)
        _line(draw, (16, height + 12), self.words, 19, INK, width - 32)
        _line(draw, (16, height + 40), self.said, 16, SOFT, width - 32)
        room = width - 48 - _line(draw, (width - 16, height + 67), self._place, 13, SOFT, width, anchor="ra")
        used = _line(draw, (16, height + 64), self.call, 16, INK, room)
        text, color = self.verdict
        _line(draw, (16 + used + 10 * bool(used), height + 64), text, 16, COLORS.get(color, SOFT), room - used - 10)
        return np.asarray(canvas)

    @property
    def _place(self) -> str:
        return f"turn {self.turn}, {STRIDE}x speed" if self.turn else ""


def spoken(decision: Decision) -> str:
    """What was said, in one line without the tags around a call; of a policy without words, its thought."""
    words = decision.raw.replace("<tool_call>", " ").replace("</tool_call>", " ") or decision.thought
    return " ".join(words.split())


def framed(frame: Frame, points: Sequence[ImagePoint], width: int) -> np.ndarray:
    """What a policy saw, so many pixels wide, with its points drawn on it, (H, W, 3) uint8."""
    height = round(width * frame.rgb.shape[0] / frame.rgb.shape[1])
    picture = Image.fromarray(frame.rgb).resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for point in points:
        if point.camera == frame.camera:
            x, y = point.u * width, point.v * height
            for radius, ink, line in ((9, (0, 0, 0), 5), (8, (255, 255, 255), 4), (7, MARK, 2)):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=line)
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=MARK)
    return np.asarray(picture)


def _paste_inset(canvas: Image.Image, inset: np.ndarray) -> None:
    """In the upper left corner, with a thin frame and a title."""
    height, width = inset.shape[:2]
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((10, 10, 13 + width, 13 + height), outline=INK, width=2)
    canvas.paste(Image.fromarray(inset), (12, 12))
    draw.text(
        (17, 11 + height), "what the model sees", INK, _font(12), anchor="ls", stroke_width=2, stroke_fill=(0, 0, 0)
    )


def _line(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, ink: Color, room: int, anchor: str = "la"
) -> int:
    """Writes one line of text, cut with an ellipsis where it does not fit; returns its width."""
    font, text = _font(size), " ".join(text.split())[: room // 3]  # few letters are narrower than 3 pixels
    if draw.textlength(text, font) > room:
        while text and draw.textlength(text + " …", font) > room:
            text = text[:-1]
        text += " …"
    draw.text(at, text, ink, font, anchor)
    return round(draw.textlength(text, font))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
