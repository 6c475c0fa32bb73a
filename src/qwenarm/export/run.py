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
from qwenarm.export.episodes import Period, converted, damages, episodes, periods, played_again
from qwenarm.export.inspect import write_log
from qwenarm.export.lerobot import INFO_FILE, LeRobotDataset
from qwenarm.export.lerobot_check import damaged_episodes
from qwenarm.export.rerun import write_recording
from qwenarm.registry import split_names
from qwenarm.types import Episode

REPLAYED_FORMATS = ("lerobot", "rerun")
"""Formats of what happens every 50 ms, which only a replay shows."""
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
    as_recorded: bool = False,
) -> Exported:
    """Exports the episodes of a trace. Each is played again, and left out if it does not go as recorded.

    Args:
        source: Folder of the trace.
        to: One of ``EXPORT_FORMATS``.
        folder: Folder of the export.
        successes_only: Whether failed episodes are left out.
        cameras: Cameras that lerobot and rerun show, separated by commas.
        size: (H, W) of their pictures.
        depth: Whether lerobot and rerun get depth images and camera parameters as well.
        as_recorded: Whether chat and inspect take outcomes as they are recorded, and say so, instead.

    Raises:
        UnknownName: There is no such format or camera.
        BadInput: There is nothing to export (then nothing is written), a library is missing, or a format that needs
            the replay was asked to do without.
    """
    if to not in EXPORT_FORMATS:
        raise UnknownName("format", to, EXPORT_FORMATS)
    if as_recorded and to in REPLAYED_FORMATS:
        raise BadInput(f"--to {to} has to play episodes again; leave out --as-recorded.")
    problems: list[str] = []
    found = episodes(source, successes_only, problems)
    shown = [camera.name for camera in cameras_named(split_names(cameras, "--cameras"))]
    checks_first = to not in REPLAYED_FORMATS and not as_recorded
    if checks_first:
        found = played_again(found, problems)
    count, path = 0, folder
    if to == "chat":
        path = folder / "train.parquet"
        count = write_chats(found, path, problems, not as_recorded)
    elif to == "inspect":
        path = folder / f"{source.resolve().name}.eval"
        count = write_log(found, path, problems, not as_recorded)
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
        told = ["There is no episode to export.", *problems[:MAX_LISTED_LINES]]
        if problems and checks_first:
            told.append("--as-recorded exports without playing again, as for episodes of another machine.")
        raise BadInput("\n".join(told))
    told = ", with outcomes as recorded: they were not checked" if as_recorded else ""
    return Exported(f"{count} {UNITS[to]}{told}", path, tuple(problems))


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
