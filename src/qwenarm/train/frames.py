"""Pictures to learn to see from: random arrangements of objects, each with what lies where. Made from this simulator,
nothing else.

A shard is a folder of .npy files that are memory-mapped while training: ``rgb`` (N, H, W, 3) uint8, ``owner`` (N, H/32,
W/32) int8 (which object fills most of a 32-pixel cell, -1 = none), ``objects`` (N, MAX_OBJECTS, 8) float32 rows (see
ROW), ``camera`` (N,) int8 (which of VIEWS took it). A picture never shows a colour x shape pair of HELD_OUT."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import mujoco
import numpy as np

from qwenarm.body.cameras import CAMERAS, Camera
from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import (  # fmt: skip
    CONTAINER_HALF,
    CONTAINERS,
    GRASPABLE,
    HELD_OUT,
    SHAPES,
    WALL,
    ObjectSpec,
    make_spec,
)
from qwenarm.body.rendering.renderer import Renderer
from qwenarm.body.scene import Placement, Scene, place_objects, sample_look
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.registry import load
from qwenarm.train.labels import COLUMNS, VIEWS
from qwenarm.types import Control

SIZE = (192, 256)
"""(H, W) of the bundled model's frame."""
CELL = 32
"""One visual token covers 32 x 32 pixels (patch 16, merge 2)."""
MAX_OBJECTS = 12
ROW = ("shape", "color", "u", "v", "pixels", "relation", "parent", "size")
"""One object: indices into SHAPES and COLORS; centroid of its visible mask as fractions; visible pixels; 0 on the
table, 1 in a container, 2 on another object; row of the parent or -1; size in m. Rows past the last object have shape
-1.
"""
VIEW_SHARES = (0.57, 0.38, 0.05)
"""How many of the pictures each camera of VIEWS takes."""
SHARD = 1000
RAY_CAST = 0.15
"""Share of the pictures that the ray caster draws; the others are OpenGL's, where there is any."""
SORTED, TOWERS = 0.45, 0.3
"""Shares of the pictures that show a sorting under way, containers that hold things of one colour or shape each, and a
tower under way."""


def random_specs(rng: np.random.Generator, graspable: int, containers: int) -> list[ObjectSpec]:
    """Distinct objects, none of a held-out combination. Every third scene has look-alikes: it has few colours."""
    colors = list(COLORS)
    if rng.random() < 0.35:
        colors = list(rng.choice(colors, size=3, replace=False))
    chosen: dict[str, ObjectSpec] = {}
    for count, shapes in ((graspable, GRASPABLE), (containers, CONTAINERS)):
        wanted = len(chosen) + count
        for _ in range(200):
            if len(chosen) >= wanted:
                break
            shape, color = str(rng.choice(shapes)), str(rng.choice(colors))
            if (color, shape) not in HELD_OUT:
                spec = make_spec(shape, color, rng)
                chosen.setdefault(spec.id, spec)
    return list(chosen.values())


def arrange(rng: np.random.Generator, specs: list[ObjectSpec]) -> tuple[Placement, ...]:
    """Some objects on the table, some already in containers or on one another: the middle of an episode."""
    busy = rng.random() < 0.6
    loose = [s for s in specs if s.container or not busy or rng.random() < 0.55] or specs[:1]
    try:
        placed = list(place_objects(rng, loose, tries=25))
    except BadInput:  # too crowded a table: one object fewer
        return arrange(rng, specs[1:])
    for spec in specs:
        if spec not in loose:
            hosts = [p for p in placed if _can_host(p, spec, placed)]
            if not hosts:
                continue
            placed.append(_put_into(rng, hosts[rng.integers(len(hosts))], spec, placed))
    return tuple(placed)


def arrange_sorted(rng: np.random.Generator) -> tuple[Placement, ...]:
    """A sorting under way, or done: two or three containers, each for one colour or shape, and what is still loose."""
    count = int(rng.choice([2, 3], p=[0.55, 0.45]))
    by_color, own = rng.random() < 0.8, rng.random() < 0.4
    values = [str(v) for v in rng.permutation(list(COLORS) if by_color else GRASPABLE)[:count]]
    places = [_draw(rng, CONTAINERS, [value] if by_color and own else COLORS) for value in values]
    rule = {
        value: [
            _draw(rng, *((GRASPABLE, [value]) if by_color else ([value], COLORS))) for _ in range(rng.integers(1, 4))
        ]
        for value in values
    }
    home = {spec.id: place for value, place in zip(values, places, strict=True) for spec in rule[value]}
    things = {spec.id: spec for specs in rule.values() for spec in specs}
    if rng.random() < 0.3:
        stranger = _draw(rng, GRASPABLE, COLORS)
        things.setdefault(stranger.id, stranger)
    share = float(rng.choice([1.0, rng.random()], p=[0.15, 0.85]))
    brought = [spec for spec in things.values() if spec.id in home and rng.random() < share]
    loose = [spec for spec in things.values() if spec not in brought]
    try:
        placed = list(place_objects(rng, [*{p.id: p for p in places}.values(), *loose], tries=25))
    except BadInput:  # too crowded a table: another draw
        return arrange_sorted(rng)
    for spec in brought:
        host = home[spec.id] if rng.random() < 0.95 else places[rng.integers(count)]
        placed.append(_put_into(rng, next(p for p in placed if p.spec.id == host.id), spec, placed))
    return tuple(placed)


def arrange_tower(rng: np.random.Generator) -> tuple[Placement, ...]:
    """A tower under way: one to four storeys that stand, further blocks, other solids and containers around it."""
    storeys = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.3, 0.3, 0.2]))
    blocks = [spec for spec in random_specs(rng, 7, 0) if spec.shape != "ball"]
    others = random_specs(rng, int(rng.integers(0, 4)), int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2])))
    if len(blocks) < storeys:
        return arrange_tower(rng)
    tower, loose = blocks[:storeys], blocks[storeys : storeys + int(rng.integers(0, 4))]
    there = {spec.id for spec in tower}
    around = {spec.id: spec for spec in [*loose, *others] if spec.id not in there}
    try:
        placed = list(place_objects(rng, [tower[0], *around.values()], tries=25))
    except BadInput:  # too crowded a table: another draw
        return arrange_tower(rng)
    top = placed[0]
    for spec in tower[1:]:
        top = _put_into(rng, top, spec, placed)
        placed.append(top)
    return tuple(placed)


def _draw(rng: np.random.Generator, shapes: Sequence[str], colors: Iterable[str]) -> ObjectSpec:
    """An object of one of these shapes and colours that is not held out."""
    pairs = [(shape, color) for shape in shapes for color in colors if (color, shape) not in HELD_OUT]
    return make_spec(*pairs[rng.integers(len(pairs))], rng)


def _can_host(host: Placement, guest: ObjectSpec, placed: list[Placement]) -> bool:
    if host.spec.container:
        return sum(_over(p, host) for p in placed) < 3
    free = not any(_over(p, host) for p in placed)
    return host.spec.shape in ("cube", "cylinder") and guest.shape != "ball" and free and host.pos[2] < 0.12


def _over(p: Placement, host: Placement) -> bool:
    near = np.hypot(p.pos[0] - host.pos[0], p.pos[1] - host.pos[1]) < (0.07 if host.spec.container else 0.03)
    return p is not host and near and p.pos[2] > host.pos[2] + 0.005


def _put_into(rng: np.random.Generator, host: Placement, guest: ObjectSpec, placed: list[Placement]) -> Placement:
    yaw = rng.uniform(-np.pi, np.pi)
    if not host.spec.container:
        shift = rng.uniform(-0.006, 0.006, 2)
        z = host.pos[2] + host.spec.size / 2 + guest.size / 2
        return Placement(guest, (host.pos[0] + shift[0], host.pos[1] + shift[1], z), yaw)
    room = CONTAINER_HALF[host.spec.shape] * 0.78 - guest.radius
    inside = [p for p in placed if _over(p, host)]
    for _ in range(30):
        dx, dy = rng.uniform(-room, room, 2) if room > 0 else (0.0, 0.0)
        x, y = host.pos[0] + dx, host.pos[1] + dy
        if all(np.hypot(x - p.pos[0], y - p.pos[1]) > p.spec.radius + guest.radius for p in inside):
            return Placement(guest, (x, y, WALL + guest.size / 2), yaw)
    top = max((p.pos[2] + p.spec.size / 2 for p in inside), default=WALL)
    return Placement(guest, (host.pos[0], host.pos[1], top + guest.size / 2 + 0.002), yaw)


def jittered(rng: np.random.Generator, camera: Camera) -> Camera:
    """The camera moved by up to 1 cm and turned by up to half a degree, as after a careless cleaning."""
    pos = np.array(camera.pos) + rng.uniform(-0.01, 0.01, 3)
    target = np.array(camera.target) + rng.uniform(-0.008, 0.008, 3)
    return Camera(camera.name, tuple(pos), tuple(target), camera.fovy_deg, camera.body, camera.up)


def take_picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.int8]:
    """One random arrangement, settled and seen: rgb (H, W, 3) uint8, owner (H/32, W/32) int8, objects (MAX_OBJECTS, 8)
    float32, and which of VIEWS saw it.

    Either arm is parked at home; now and then it holds something, of which a corner may be seen: that is not labelled.
    """
    kind = rng.random()
    if kind < SORTED + TOWERS:
        placements, held = arrange_sorted(rng) if kind < SORTED else arrange_tower(rng), None
        if rng.random() < 0.4:
            there = {p.spec.id for p in placements}
            held = next((s for s in random_specs(rng, 3, 0) if s.id not in there), None)
    else:
        specs = random_specs(rng, int(rng.integers(1, 8)), int(rng.choice([0, 1, 2, 3], p=[0.1, 0.4, 0.35, 0.15])))
        held = specs.pop(0) if specs[0].graspable and len(specs) > 1 and rng.random() < 0.25 else None
        placements = arrange(rng, specs)
    cameras = tuple(jittered(rng, c) if rng.random() < 0.7 else c for c in CAMERAS)
    carried = () if held is None else (Placement(held, (0.30, 0.0, 0.395), rng.uniform(-np.pi, np.pi)),)
    look = sample_look(rng, float(rng.choice([0.0, 0.5, 1.0])))
    body = Body(
        Scene(placements + carried, look, cameras), load("arms", str(rng.choice(["panda", "ur5e"], p=[0.8, 0.2])))
    )
    for _ in range(6):
        body.step(Control(body.hold().qpos, body.arm.max_gap if held is None else 0.0))
    view = rng.choice(len(VIEWS), p=VIEW_SHARES)
    with Renderer(body.model, "raycast" if rng.random() < RAY_CAST else None) as renderer:
        rgb = renderer.rgb(body.data, VIEWS[view], SIZE)
        geoms = renderer.segmentation(body.data, VIEWS[view], SIZE)
    body_of = {body.model.body(p.spec.id).id: i for i, p in enumerate(placements)}
    lookup = np.array([body_of.get(int(b), -1) for b in body.model.geom_bodyid] + [-1])
    seen = lookup[geoms]
    return rgb, owners(seen, len(placements)), _describe(body.data, placements, seen), np.int8(view)


def owners(seen: np.ndarray, count: int) -> np.ndarray:
    """(H, W) object indices to (H/32, W/32): the object with most pixels in each cell, at least 24; else -1."""
    h, w = seen.shape[0] // CELL, seen.shape[1] // CELL
    cells = seen.reshape(h, CELL, w, CELL).transpose(0, 2, 1, 3).reshape(h, w, -1)
    pixels = np.stack([(cells == i).sum(-1) for i in range(count)], -1)
    return np.where(pixels.max(-1) >= 24, pixels.argmax(-1), -1).astype(np.int8)


def _describe(data: mujoco.MjData, placements: tuple[Placement, ...], seen: np.ndarray) -> np.ndarray:
    rows = np.full((MAX_OBJECTS, len(ROW)), -1.0, np.float32)
    pos = np.array([data.body(p.spec.id).xpos for p in placements])
    for i, p in enumerate(placements):
        v, u = np.nonzero(seen == i)
        center = ((u.mean() + 0.5) / SIZE[1], (v.mean() + 0.5) / SIZE[0]) if len(u) else (-1.0, -1.0)
        relation, parent = _relation(i, placements, pos)
        rows[i] = (
            SHAPES.index(p.spec.shape), list(COLORS).index(p.spec.color),
            *center, len(u), relation, parent, p.spec.size,
        )  # fmt: skip
    return rows


def _relation(i: int, placements: tuple[Placement, ...], pos: np.ndarray) -> tuple[int, int]:
    spec = placements[i].spec
    if spec.container:
        return 0, -1
    for j, other in enumerate(placements):
        flat = float(np.hypot(*(pos[i, :2] - pos[j, :2])))
        if other.spec.container and flat < CONTAINER_HALF[other.spec.shape] - 0.004 and pos[i, 2] < 0.14:
            return 1, j
    for j, other in enumerate(placements):
        flat = float(np.hypot(*(pos[i, :2] - pos[j, :2])))
        rise = pos[i, 2] - pos[j, 2] - (spec.size + other.spec.size) / 2
        if i != j and not other.spec.container and flat < 0.03 and abs(rise) < 0.012:
            return 2, j
    return 0, -1


def make_shard(folder: Path, seed: int, count: int = SHARD) -> None:
    """Writes one shard; a folder appears under its final name only when it is complete, so an interrupted run is simply
    run again.
    """
    if folder.exists():
        return
    rng = np.random.default_rng([20261121, seed])
    shots = [take_picture(rng) for _ in range(count)]
    work = folder.with_name(folder.name + f".part{os.getpid()}")
    work.mkdir(parents=True, exist_ok=True)
    for name, column in zip(COLUMNS, zip(*shots, strict=True), strict=True):
        np.save(work / f"{name}.npy", np.stack(column))
    work.rename(folder)
