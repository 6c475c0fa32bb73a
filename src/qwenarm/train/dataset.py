"""Demonstrations on disk: a folder of zip archives. Archives appear atomically, so every archive is complete.

An archive holds ``shard.json`` (what its samples share: task, settings, tools, how many episodes succeeded),
``samples.jsonl`` (one decision per line: the prompt's messages in OpenAI format, the answer's text and the ground
truth; see ``demonstrator.Sample``) and PNG files named by their content, so that each frame is stored once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qwenarm.errors import BadInput
from qwenarm.mind.prompt.presets import CHUNK_ALTITUDE, MAX_PLAN_CALLS
from qwenarm.train.demonstrator import Sample

HEAD_FILE, SAMPLES_FILE = "shard.json", "samples.jsonl"
FORMAT_VERSION = 1


def write_shard(path: Path, shared: dict[str, Any], samples: Sequence[tuple[int, Sample]]) -> None:
    """Writes an archive.

    Args:
        path: Path of the archive.
        shared: What the samples share, as JSON values.
        samples: (seed, sample) pairs, all with the same tools.
    """
    tools = samples[0][1].prompt.tools if samples else ()
    write_archive(
        path, {**shared, "tools": tools}, lambda archive: [_line(archive, seed, sample) for seed, sample in samples]
    )


def write_archive(
    path: Path, shared: dict[str, Any], to_lines: Callable[[zipfile.ZipFile], list[dict[str, Any]]]
) -> None:
    """Writes an archive whose samples are the JSON values that ``to_lines`` returns when it has stored the pictures."""
    part = path.with_suffix(f".part{os.getpid()}")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        lines = [json.dumps(line, ensure_ascii=False) for line in to_lines(archive)]
        head = {"format": FORMAT_VERSION, **shared, "samples": len(lines)}
        archive.writestr(HEAD_FILE, json.dumps(head), zipfile.ZIP_DEFLATED)
        archive.writestr(SAMPLES_FILE, "\n".join(lines), zipfile.ZIP_DEFLATED)
    part.replace(path)


def _line(archive: zipfile.ZipFile, seed: int, sample: Sample) -> dict[str, Any]:
    return {
        "seed": seed,
        "turn": sample.turn,
        "messages": sample.prompt.messages,
        "answer": sample.answer,
        "said": sample.said,
        "images": [stored(archive, image) for image in sample.prompt.images],
        "masks": [stored(archive, mask) for mask in sample.masks],
        "objects": sample.objects,
        "points": [[k, round(u, 4), round(v, 4), camera] for k, u, v, camera in sample.points],
    }


def stored(archive: zipfile.ZipFile, pixels: np.ndarray) -> str:
    """Stores an image in the archive unless it is there. Returns its file name."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    name = f"{hashlib.sha256(stream.getvalue()).hexdigest()[:20]}.png"
    if name not in archive.NameToInfo:
        archive.writestr(name, stream.getvalue())
    return name


@dataclass(frozen=True)
class Shard:
    """One archive without its images.

    Attributes:
        path: Path of the archive.
        head: What the samples share.
        lines: The samples.
    """

    path: Path
    head: dict[str, Any]
    lines: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Shard:
        """Reads an archive. Raises BadInput for a file that is not one."""
        try:
            with zipfile.ZipFile(path) as archive:
                head = json.loads(archive.read(HEAD_FILE))
                lines = [json.loads(line) for line in archive.read(SAMPLES_FILE).decode().splitlines() if line]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise BadInput(f"{path} is not an archive of `qwenarm collect`: {error}.") from error
        if head.get("format") != FORMAT_VERSION:
            raise BadInput(f"{path} has the format {head.get('format')!r}; this version reads {FORMAT_VERSION}.")
        return cls(path, head, lines)

    def pictures(self, names: Sequence[str]) -> list[np.ndarray]:
        """Decodes PNG files of the archive: frames (H, W, 3) or masks (H, W), uint8."""
        with zipfile.ZipFile(self.path) as archive:
            return [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]

    def sizes(self, names: Sequence[str]) -> list[tuple[int, int]]:
        """Returns the size (H, W) of each of these PNG files of the archive."""
        with zipfile.ZipFile(self.path) as archive:
            opened = [Image.open(io.BytesIO(archive.read(name))) for name in names]
        return [(picture.height, picture.width) for picture in opened]


def read_shards(folders: Sequence[Path], altitudes: Sequence[str] = ()) -> list[Shard]:
    """Reads all archives below the folders, sorted by path, or only those of some altitudes.

    Raises BadInput if there are none.
    """
    if not folders:
        raise BadInput("No folder of demonstrations is named; `qwenarm collect` fills runs/data.")
    paths = sorted({path for folder in folders for path in folder.rglob("*.zip")})
    shards = [shard for shard in map(Shard.read, paths) if not altitudes or shard.head.get("altitude") in altitudes]
    if not shards:
        kind = f" at altitude {' or '.join(altitudes)}" if altitudes else ""
        command = f"qwenarm collect --altitude {altitudes[0]}" if altitudes else "qwenarm collect"
        raise BadInput(f"There are no demonstrations{kind} in {', '.join(map(str, folders))}; `{command}` makes some.")
    return shards


def problems(shard: Shard) -> Iterator[str]:
    """Yields the problems of an archive: missing or changed images, answers that cannot be read back as calls, points
    off their object, and seeds of evaluations.
    """
    from qwenarm.evaluation.suites import FIRST_SEED
    from qwenarm.mind.families import family_named
    from qwenarm.mind.parsing.parse import parse
    from qwenarm.skills import specs

    with zipfile.ZipFile(shard.path) as archive:
        for name in {name for line in shard.lines for name in (*line["images"], *line.get("masks", ()))}:
            if name not in archive.NameToInfo:
                yield f"the picture {name} is missing"
            elif hashlib.sha256(archive.read(name)).hexdigest()[:20] != name.removesuffix(".png"):
                yield f"the picture {name} is not what its name says"
    for number, line in enumerate(shard.lines):
        if line["seed"] >= FIRST_SEED:
            yield f"sample {number} has the seed {line['seed']}, which evaluations use"
    if shard.head["altitude"] == CHUNK_ALTITUDE:
        return
    family, cameras = family_named(shard.head["family"]), shard.head["cameras"]
    for number, line in enumerate(shard.lines):
        sizes = dict(zip(cameras, shard.sizes(line["images"]), strict=False))
        decision = parse(line["answer"], specs(), family, sizes, max_calls=MAX_PLAN_CALLS)
        if decision.error is not None:
            yield f"the answer of sample {number} cannot be read: {decision.detail or decision.error.value}"
        for k, u, v, camera in line["points"]:
            (mask,) = shard.pictures([line["masks"][camera]])
            row, column = min(len(mask) - 1, int(v * len(mask))), min(mask.shape[1] - 1, int(u * mask.shape[1]))
            near = mask[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            if k >= 0 and k + 1 not in near:
                yield f"a point of sample {number} is not on the {line['objects'][k]['label']}"
