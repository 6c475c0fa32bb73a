"""Finds damage in a LeRobot dataset that ``lerobot.py`` has written."""

from __future__ import annotations

import json
from pathlib import Path

import imageio_ffmpeg

from qwenarm.episode.jsonl import MAX_REASON_CHARS, Damage
from qwenarm.errors import BadInput, shortened
from qwenarm.export import library
from qwenarm.export.lerobot import CHUNK_SIZE, EPISODES_FOLDER, FILE_PATTERN, INFO_FILE

MAX_EPISODES = 10**6
"""Maximum number of episodes that are checked: the number in a damaged file may be anything."""


def damaged_episodes(folder: Path) -> list[str]:
    """A sentence for each damaged episode of a dataset. Raises BadInput when the dataset was never finished."""
    parquet = library("pyarrow.parquet", "pyarrow")
    try:
        info = json.loads((folder / INFO_FILE).read_text(encoding="utf-8"))
        cameras = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
        indices = range(min(info["total_episodes"], MAX_EPISODES))
    except Damage as error:
        why = shortened(f"{type(error).__name__}: {error}", MAX_REASON_CHARS)
        raise BadInput(f"{folder} is no finished LeRobot dataset: {INFO_FILE} cannot be read ({why}).") from error
    found = []
    for index in indices:
        file = FILE_PATTERN.format(chunk_index=index // CHUNK_SIZE, file_index=index % CHUNK_SIZE)
        try:
            (row,) = parquet.read_table(folder / EPISODES_FOLDER / f"{file}.parquet").to_pylist()
            counts = {"data": parquet.read_table(folder / "data" / f"{file}.parquet").num_rows}
            for camera in cameras:
                counts[camera] = imageio_ffmpeg.count_frames_and_secs(folder / "videos" / camera / f"{file}.mp4")[0]
            wrong = [f"{name} has {n} of {row['length']} periods" for name, n in counts.items() if n != row["length"]]
        except Exception as error:  # Arrow and ffmpeg have many for damaged files
            wrong = [shortened(f"{type(error).__name__}: {error}".splitlines()[0], MAX_REASON_CHARS)]
        found += [f"episode {index}: {each}" for each in wrong]
    return found
