"""One picture of a scene: the view of every camera with the objects' names, and the goal where the task shows it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from qwenarm.display.labels import place_labels
from qwenarm.display.text import BACKGROUND_RGB, POINT_RGB, TEXT_RGB, drawable, font, wrap, write_lines
from qwenarm.errors import BadInput
from qwenarm.tasks import oracle_point

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

VIEW_SIZE = (480, 640)
"""(H, W) of each view: 4:3, as the pictures that policies see, so that fractions mean the same."""
GAP_PX, TITLE_HEIGHT_PX, INSTRUCTION_SIZE_PX = 12, 30, 20
LABEL_REACH_PX, LABEL_SIZE_PX = 11, 15
"""Distance of a name from the middle of its ring; size of its font."""
MAX_INSTRUCTION_LINES = 10


def write_sheet(env: ArmEnv, path: Path) -> Path:
    """Writes the sheet of an environment that was reset, as PNG, and returns its path.

    Raises:
        BadInput: when the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_sheet(env).save(path)
    except (OSError, ValueError) as error:  # ValueError: the name ends in no picture format
        raise BadInput(f"Cannot write {path}: {getattr(error, 'strerror', None) or error}.") from error
    return path


def draw_sheet(env: ArmEnv) -> Image.Image:
    """The instruction, and below it all views, two in a row, each under the name of its camera."""
    views = {camera.name: draw_view(env.body, camera.name) for camera in env.body.scene.cameras}
    goal = env.goal_frame(VIEW_SIZE)
    views |= {} if goal is None else {goal.camera: goal.rgb}
    height, width = VIEW_SIZE
    page_width, rows = 2 * width + 3 * GAP_PX, math.ceil(len(views) / 2)
    line = page_width - 2 * GAP_PX
    told = wrap(env.setup.instruction, INSTRUCTION_SIZE_PX, line, MAX_INSTRUCTION_LINES)
    top = GAP_PX + round(1.35 * INSTRUCTION_SIZE_PX) * len(told)
    canvas = Image.new("RGB", (page_width, top + rows * (height + TITLE_HEIGHT_PX) + GAP_PX), BACKGROUND_RGB)
    corner = (GAP_PX, GAP_PX // 2)
    write_lines(canvas, corner, env.setup.instruction, INSTRUCTION_SIZE_PX, TEXT_RGB, line, MAX_INSTRUCTION_LINES)
    for i, (name, view) in enumerate(views.items()):
        x, y = GAP_PX + (i % 2) * (width + GAP_PX), top + (i // 2) * (height + TITLE_HEIGHT_PX)
        write_lines(canvas, (x, y + 4), name, 16, TEXT_RGB, width)
        canvas.paste(Image.fromarray(view), (x, y + TITLE_HEIGHT_PX))
    return canvas


def draw_view(body: Body, camera: str) -> np.ndarray:
    """One camera's picture with a ring and a name on every object that it sees, (H, W, 3) uint8.

    The rings are where the oracle would point.
    """
    picture = Image.fromarray(body.frame(camera, VIEW_SIZE, shadows=True).rgb)
    draw = ImageDraw.Draw(picture)
    named = list[tuple[float, float, str]]()
    for placement in body.scene.objects:
        if (point := oracle_point(body, placement.spec.id, camera)) is not None:
            named.append((point.u * VIEW_SIZE[1], point.v * VIEW_SIZE[0], drawable(placement.spec.label)))
    for x, y, _ in named:
        draw.ellipse((x - 7, y - 7, x + 7, y + 7), outline=(255, 255, 255), width=4)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), outline=POINT_RGB, width=2)
    boxes = place_labels(named, VIEW_SIZE, LABEL_REACH_PX, LABEL_SIZE_PX)
    for (*_, label), (left, top, _, _) in zip(named, boxes, strict=True):
        draw.text((left, top), label, TEXT_RGB, font(LABEL_SIZE_PX), "la", stroke_width=3, stroke_fill=(0, 0, 0))
    return np.asarray(picture)
