"""One picture of a scene: every camera's view, with the objects' names at the points where the oracle would point, and
the picture of the goal where the task shows one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from qwenarm.errors import BadInput
from qwenarm.tasks import oracle_point

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

SIZE = (480, 640)
"""(H, W) of each view: 4:3, as what policies see, so that fractions mean the same."""
GAP, TITLE = 12, 30
INK, PAPER, MARK = (238, 236, 230), (22, 23, 27), (255, 72, 88)


def write_sheet(env: ArmEnv, path: Path) -> Path:
    """Writes the sheet as PNG. Raises BadInput when the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_sheet(env).save(path)
    except (OSError, ValueError) as error:  # ValueError: an ending that names no format of pictures
        raise BadInput(f"Cannot write {path}: {getattr(error, 'strerror', None) or error}.") from error
    return path


def draw_sheet(env: ArmEnv) -> Image.Image:
    """All views, two in a row, each under its camera's name; the instruction on top."""
    views = {camera.name: draw_view(env.body, camera.name) for camera in env.body.scene.cameras}
    goal = env.goal_frame(SIZE)
    views |= {} if goal is None else {goal.camera: goal.rgb}
    height, width = SIZE
    rows = math.ceil(len(views) / 2)
    canvas = Image.new("RGB", (2 * width + 3 * GAP, TITLE + rows * (height + TITLE) + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, TITLE // 2 + 3), env.setup.instruction, INK, ImageFont.load_default(20), anchor="lm")
    for i, (name, view) in enumerate(views.items()):
        x, y = GAP + (i % 2) * (width + GAP), TITLE + (i // 2) * (height + TITLE)
        draw.text((x, y + TITLE // 2), name, INK, ImageFont.load_default(16), anchor="lm")
        canvas.paste(Image.fromarray(view), (x, y + TITLE))
    return canvas


def draw_view(body: Body, camera: str) -> np.ndarray:
    """One camera's picture with a ring and a name on every object that it sees, (H, W, 3) uint8."""
    picture = Image.fromarray(body.frame(camera, SIZE, shadows=True).rgb)
    draw = ImageDraw.Draw(picture)
    for placement in body.scene.objects:
        point = oracle_point(body, placement.spec.id, camera)
        if point is None:
            continue
        x, y = point.u * SIZE[1], point.v * SIZE[0]
        draw.ellipse((x - 7, y - 7, x + 7, y + 7), outline=(255, 255, 255), width=4)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), outline=MARK, width=2)
        side, anchor = (12, "lm") if point.u < 0.7 else (-12, "rm")
        font = ImageFont.load_default(15)
        draw.text((x + side, y), placement.spec.label, INK, font, anchor=anchor, stroke_width=3, stroke_fill=(0, 0, 0))
    return np.asarray(picture)
