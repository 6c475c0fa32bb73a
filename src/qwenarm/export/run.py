"""Exports a whole trace in one of the formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwenarm.body.cameras import cameras_named
from qwenarm.episode.jsonl import MAX_LISTED_LINES
from qwenarm.errors import BadInput, UnknownName
from qwenarm.export import EXPORT_FORMATS
from qwenarm.export.chat import write_chats
from qwenarm.export.episodes import Period, converted, damages, episodes, periods
from qwenarm.export.inspect import write_log
from qwenarm.export.lerobot import INFO_FILE, LeRobotDataset
from qwenarm.export.lerobot_check import damaged_episodes
from qwenarm.export.rerun import write_recording
from qwenarm.registry import split_names
from qwenarm.types import Episode

UNITS = {"chat": "decisions", "lerobot": "episodes", "rerun": "recordings", "inspect": "samples"}
"""What an export counts."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote, in words; where it is; and a sentence for every episode that was left out."""

    written: str
    path: Path
    problems: tuple[str, ...] = ()


def check_folder(folder: Path) -> list[str]:
    """A sentence for every damaged episode of a trace or of a LeRobot dataset. Raises BadInput for anything else."""
    return damaged_episodes(folder) if (folder / "meta").is_dir() else damages(folder)


def export_to(
    source: Path,
    to: str,
    folder: Path,
    successes_only: bool,
    cameras: str,
    size: tuple[int, int],
    depth: bool = False,
) -> Exported:
    """Exports the episodes of a trace.

    Args:
        source: Folder of the trace.
        to: One of ``EXPORT_FORMATS``.
        folder: Folder of the export.
        successes_only: Whether failed episodes are left out.
        cameras: Cameras that lerobot and rerun show, separated by commas.
        size: (H, W) of their pictures.
        depth: Whether lerobot and rerun get depth images and camera parameters as well.

    Raises:
        UnknownName: There is no such format or camera.
        BadInput: There is nothing to export (then nothing is written), or a library is missing.
    """
    if to not in EXPORT_FORMATS:
        raise UnknownName("format", to, EXPORT_FORMATS)
    problems: list[str] = []
    found = episodes(source, successes_only, problems)
    shown = [camera.name for camera in cameras_named(split_names(cameras, "--cameras"))]
    count, path = 0, folder
    if to == "chat":
        path = folder / "train.parquet"
        count = write_chats(found, path, problems)
    elif to == "inspect":
        path = folder / f"{source.resolve().name}.eval"
        count = write_log(found, path, problems)
    elif to == "lerobot":
        dataset, path = LeRobotDataset(folder, shown, size, depth), folder / INFO_FILE
        for episode, again in _again(found, shown, size, depth, problems, dataset):
            dataset.add(episode, again)
        count = dataset.finish()
    else:
        for episode, again in _again(found, shown, size, depth, problems):
            write_recording(episode, again, folder / f"{count:05d}-{episode.task.replace(':', '-')}-{episode.seed}.rrd")
            count += 1
    if not count:
        raise BadInput("\n".join(["There is no episode to export.", *problems[:MAX_LISTED_LINES]]))
    return Exported(f"{count} {UNITS[to]}", path, tuple(problems))


def _again(
    found: Iterator[Episode],
    cameras: Sequence[str],
    size: tuple[int, int],
    depth: bool,
    problems: list[str],
    dataset: LeRobotDataset | None = None,
) -> Iterator[tuple[Episode, list[Period]]]:
    """Yields episodes with their periods, except those that a dataset already holds or that cannot be played again."""

    def convert(episode: Episode) -> tuple[Episode, list[Period]]:
        again = periods(episode, cameras, size, depth)
        texts = [*map(str, vars(episode.run.config).values()), *(period.call for period in again)]
        "".join(texts).encode()  # raises a ValueError for text that is no Unicode, before anything is written
        if dataset is not None:
            dataset.check(again)
        return episode, again

    fresh = (episode for episode in found if dataset is None or not dataset.holds(episode))
    yield from converted(fresh, convert, problems)
