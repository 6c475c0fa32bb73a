"""Exports a whole trace in one of the formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwenarm.body.cameras import cameras_named
from qwenarm.errors import BadInput, UnknownName
from qwenarm.export import EXPORT_FORMATS
from qwenarm.export.chat import write_chats
from qwenarm.export.episodes import Period, damages, episodes, periods
from qwenarm.export.inspect import write_log
from qwenarm.export.lerobot import INFO_FILE, LeRobotDataset, damaged_episodes
from qwenarm.export.rerun import write_recording
from qwenarm.registry import split_names
from qwenarm.types import Episode


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
        BadInput: There is nothing to export, or a library is missing.
    """
    if to not in EXPORT_FORMATS:
        raise UnknownName("format", to, EXPORT_FORMATS)
    problems: list[str] = []
    found = episodes(source, successes_only, problems)
    shown = [camera.name for camera in cameras_named(split_names(cameras, "--cameras"))]
    if to == "chat":
        path = folder / "train.parquet"
        return Exported(f"{write_chats(found, path, problems)} decisions", path, tuple(problems))
    if to == "inspect":
        path = folder / f"{source.name}.eval"
        return Exported(f"{write_log(found, path, problems)} samples", path, tuple(problems))
    if to == "lerobot":
        dataset = LeRobotDataset(folder, shown, size, depth)
        for episode, again in _again(found, shown, size, depth, problems, dataset):
            dataset.add(episode, again)
        dataset.finish()
        return Exported(f"{len(dataset.rows)} episodes", folder / INFO_FILE, tuple(problems))
    count = 0
    for episode, again in _again(found, shown, size, depth, problems):
        write_recording(episode, again, folder / f"{count:05d}-{episode.task.replace(':', '-')}-{episode.seed}.rrd")
        count += 1
    return Exported(f"{count} recordings", folder, tuple(problems))


def _again(
    found: Iterator[Episode],
    cameras: Sequence[str],
    size: tuple[int, int],
    depth: bool,
    problems: list[str],
    dataset: LeRobotDataset | None = None,
) -> Iterator[tuple[Episode, list[Period]]]:
    """Yields episodes with their periods, except those that a dataset already holds or that cannot be played again."""
    index = 0
    for episode in found:
        if dataset is not None and dataset.holds(index, episode):
            index += 1
            continue
        try:
            again = periods(episode, cameras, size, depth)
            if not again:
                raise BadInput(f"{episode.task} {episode.seed}: the arm did not move.")
        except BadInput as error:
            problems.append(str(error))
            continue
        except UnknownName as error:
            problems.append(f"{episode.task} {episode.seed} by {episode.policy}: It cannot be exported ({error})")
            continue
        index += 1
        yield episode, again
