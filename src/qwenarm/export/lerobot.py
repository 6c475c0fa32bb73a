"""A LeRobot dataset, version 3.0: 20 Hz states and actions in Parquet, pictures as video.

    data/chunk-000/file-000.parquet            a row per period
    videos/CAMERA/chunk-000/file-000.mp4       a frame per period
    meta/episodes/chunk-000/file-000.parquet   one row: the episode, written when all of it is there
    meta/tasks.parquet, meta/subtasks.parquet  instructions and skill calls, written when all episodes are there
    meta/stats.json                            written when all episodes are there
    meta/info.json                             written last

Every episode has files of its own, and each file appears when it is complete. A kill costs only the episode that was
being written; the same command goes on with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qwenarm.display.video import FilmWriter
from qwenarm.errors import BadInput
from qwenarm.export import library
from qwenarm.export.episodes import Period
from qwenarm.export.lerobot_stats import image_stats, merged_image_stats, number_stats
from qwenarm.perturbations import spell
from qwenarm.types import Episode, Outcome

DATASET_VERSION, DATASET_FPS, CHUNK_SIZE = "v3.0", 20, 1000
INFO_FILE, EPISODES_FOLDER = Path("meta/info.json"), Path("meta/episodes")
FILE_PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}"
ACTION_NAMES = ["dx", "dy", "dz", "rx", "ry", "rz", "opening"]
POSE_NAMES = ["x", "y", "z", "qw", "qx", "qy", "qz"]
MAX_DEPTH_MM = 2**16 - 1


@dataclass
class LeRobotDataset:
    """A dataset that is being written.

    Args:
        folder: Folder of the dataset; an unfinished one is continued.
        cameras: The cameras whose pictures it holds.
        size: (H, W) of the pictures.
        depth: Whether it also holds depth images, as uint16 in mm, and the cameras' intrinsics and extrinsics.
    """

    folder: Path
    cameras: Sequence[str]
    size: tuple[int, int]
    depth: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    """One for each complete episode."""
    placed: int = 0
    """How many of them this export has come to."""

    def __post_init__(self) -> None:
        self._arrow, self._parquet = library("pyarrow", "pyarrow"), library("pyarrow.parquet", "pyarrow")
        try:
            for path in sorted((self.folder / EPISODES_FOLDER).glob("*/*.parquet")):
                self.rows += self._parquet.read_table(path).to_pylist()
            kept = {(row["qwenarm/cameras"], row["qwenarm/size"], row.get("qwenarm/depth")) for row in self.rows}
        except (KeyError, OSError, ValueError) as error:  # Arrow's are of these
            raise BadInput(f"{self.folder} holds another dataset, or a damaged one: choose another folder.") from error
        if kept - {(",".join(self.cameras), str(self.size), self.depth)}:
            told = "; ".join(f"cameras {names}, size {size}, depth {depth}" for names, size, depth in sorted(kept))
            raise BadInput(f"{self.folder} holds other pictures ({told}): choose another folder.")

    def holds(self, episode: Episode) -> bool:
        """Whether the dataset already holds the next episode of this export.

        Raises:
            BadInput: It holds another one in its place.
        """
        if self.placed >= len(self.rows):
            return False
        row = self.rows[self.placed]
        if any(row.get(f"qwenarm/{name}") != value for name, value in self._facts(episode).items()):
            raise BadInput(f"{self.folder} holds another episode {self.placed}: choose another folder.")
        self.placed += 1
        return True

    def check(self, periods: Sequence[Period]) -> None:
        """Raises BadInput unless the arm has as many joints as that of the episodes before."""
        data = next((self.folder / "data").glob("*/*.parquet"), None)
        joints = len(periods[0].joints)
        if data and self.rows and (before := self._state_size(data) - 1) != joints:
            raise BadInput(f"the dataset is of an arm with {before} joints, and this one has {joints}")

    def _state_size(self, data: Path) -> int:
        return self._parquet.read_schema(data).field("observation.state").type.list_size

    def add(self, episode: Episode, periods: Sequence[Period]) -> None:
        """Appends an episode. Its row is written last, when all its other files are complete."""
        index, count = len(self.rows), len(periods)
        start = self.rows[-1]["dataset_to_index"] if self.rows else 0
        place = {"chunk_index": index // CHUNK_SIZE, "file_index": index % CHUNK_SIZE}
        file = FILE_PATTERN.format(**place)
        images = {}
        for camera in self.cameras:
            pictures = [period.frames[camera] for period in periods]
            self._film(self.folder / "videos" / _image_key(camera) / f"{file}.mp4", pictures)
            images[_image_key(camera)] = image_stats(pictures)
        tasks = list(dict.fromkeys(period.instruction for period in periods))
        calls = list(dict.fromkeys(period.call for period in periods))
        known = self._numbered("tasks", tasks), self._numbered("qwenarm/calls", calls)
        self._write(self.folder / "data" / f"{file}.parquet", self._table(episode, periods, index, start, *known))
        row: dict[str, Any] = {"episode_index": index, "tasks": tasks, "length": count, "qwenarm/calls": calls}
        row |= {"dataset_from_index": start, "dataset_to_index": start + count}
        row |= {f"{part}/{name}": value for part in ("data", "meta/episodes") for name, value in place.items()}
        for camera in self.cameras:
            row |= {f"videos/{_image_key(camera)}/{name}": value for name, value in place.items()}
            times = {"from_timestamp": 0.0, "to_timestamp": count / DATASET_FPS}
            row |= {f"videos/{_image_key(camera)}/{name}": value for name, value in times.items()}
        row |= {f"stats/{key}/{name}": value for key, stats in images.items() for name, value in stats.items()}
        row |= {f"qwenarm/{name}": value for name, value in self._facts(episode).items()}
        self._write(self.folder / EPISODES_FOLDER / f"{file}.parquet", self._arrow.Table.from_pylist([row]))
        self.rows.append(row)
        self.placed += 1

    def finish(self) -> int:
        """Writes tasks, statistics and ``info.json``, the last files, if there is an episode. Returns how many.

        Raises:
            BadInput: It holds episodes that this export does not.
        """
        if len(self.rows) > self.placed:
            raise BadInput(f"{self.folder} holds {len(self.rows) - self.placed} other episodes: choose another folder.")
        if not self.rows:
            return 0
        paths = sorted((self.folder / "data").glob("*/*.parquet"))
        features = self._features(self._state_size(paths[0]))
        numbers = {key: each for key, each in features.items() if each["dtype"] not in ("video", "string")}
        counted = [key for key, each in numbers.items() if len(each["shape"]) == 1]
        columns = self._arrow.concat_tables([self._parquet.read_table(path, columns=counted) for path in paths])
        self._write_names("task", self._numbered("tasks"))
        self._write_names("subtask", self._numbered("qwenarm/calls"))
        stats = {key: number_stats(_numbers(columns[key])) for key in counted}
        stats |= {_image_key(camera): merged_image_stats(self.rows, _image_key(camera)) for camera in self.cameras}
        _write_json(self.folder / "meta/stats.json", stats)
        info = {
            "codebase_version": DATASET_VERSION,
            "robot_type": self.rows[0]["qwenarm/arm"],
            "total_episodes": len(self.rows),
            "total_frames": self.rows[-1]["dataset_to_index"],
            "total_tasks": len(self._numbered("tasks")),
            "chunks_size": CHUNK_SIZE,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": DATASET_FPS,
            "splits": {"train": f"0:{len(self.rows)}"},
            "data_path": f"data/{FILE_PATTERN}.parquet",
            "video_path": f"videos/{{video_key}}/{FILE_PATTERN}.mp4",
            "features": features,
        }
        _write_json(self.folder / INFO_FILE, info)
        return len(self.rows)

    def _facts(self, episode: Episode) -> dict[str, Any]:
        config = episode.run.config
        facts = {name: getattr(config, name) for name in ("task", "level", "arm", "policy", "model", "clock")}
        facts |= {"perturbations": spell(config.perturbations)}
        facts |= {"seed": episode.seed, "outcome": str(episode.outcome), "final_hash": episode.final_hash}
        return facts | {"cameras": ",".join(self.cameras), "size": str(self.size), "depth": self.depth}

    def _numbered(self, column: str, more: Iterable[str] = ()) -> dict[str, int]:
        """Text -> its index, for the texts of a column of all episodes, in the order in which they appear."""
        told = [text for row in self.rows for text in row[column]]
        return {text: number for number, text in enumerate(dict.fromkeys([*told, *more]))}

    def _table(
        self,
        episode: Episode,
        periods: Sequence[Period],
        index: int,
        start: int,
        tasks: Mapping[str, int],
        calls: Mapping[str, int],
    ) -> Any:
        count, success = len(periods), episode.outcome is Outcome.SUCCESS
        last = np.arange(count) == count - 1
        poses = [np.concatenate([period.tcp_pos, period.tcp_quat]) for period in periods]
        columns = {
            "observation.state": self._vectors([np.append(each.joints, each.gripper_width) for each in periods]),
            "observation.ee_pose": self._vectors(poses),
            "action": self._vectors([period.action for period in periods]),
            "next.done": last,
            "next.success": last & success,
            "seed": np.full(count, episode.seed, np.int64),
            "timestamp": (np.arange(count) / DATASET_FPS).astype(np.float32),
            "frame_index": np.arange(count, dtype=np.int64),
            "episode_index": np.full(count, index, np.int64),
            "index": np.arange(start, start + count, dtype=np.int64),
            "task_index": np.array([tasks[period.instruction] for period in periods], np.int64),
            "subtask_index": np.array([calls[period.call] for period in periods], np.int64),
        }
        for camera in self.cameras if self.depth else ():
            views = [period.geometry[camera] for period in periods]
            millimetres = [np.minimum(view.depth * 1000, MAX_DEPTH_MM).round().astype(np.uint16) for view in views]
            matrices = {"depth": millimetres}
            matrices |= {kind: [getattr(view, kind) for view in views] for kind in ("intrinsics", "extrinsics")}
            columns |= {f"observation.{name}.{camera}": self._matrices(rows) for name, rows in matrices.items()}
        return self._arrow.table(columns)

    def _matrices(self, rows: Sequence[np.ndarray]) -> Any:
        """(N, H, W) as lists of lists, which is how LeRobot stores two-dimensional features."""
        stack = np.stack(rows)
        count, height, width = stack.shape
        flat = self._arrow.array(stack.ravel())
        inner = self._arrow.ListArray.from_arrays(np.arange(count * height + 1, dtype=np.int32) * width, flat)
        return self._arrow.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * height, inner)

    def _vectors(self, rows: Sequence[np.ndarray]) -> Any:
        matrix = np.array(rows, np.float32)
        return self._arrow.FixedSizeListArray.from_arrays(self._arrow.array(matrix.ravel()), matrix.shape[1])

    def _features(self, state_size: int) -> dict[str, dict[str, Any]]:
        height, width = self.size
        video = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                **{"video.height": height, "video.width": width, "video.channels": 3, "video.fps": DATASET_FPS},
                **{"video.codec": "h264", "video.pix_fmt": "yuv420p", "video.is_depth_map": False, "has_audio": False},
            },
        }
        joints = [*(f"joint_{number}" for number in range(1, state_size)), "gripper_width"]
        vectors = {"observation.state": joints, "observation.ee_pose": POSE_NAMES, "action": ACTION_NAMES}
        scalars = {"next.done": "bool", "next.success": "bool", "seed": "int64", "timestamp": "float32"}
        scalars |= dict.fromkeys(("frame_index", "episode_index", "index", "task_index", "subtask_index"), "int64")
        return {
            **{_image_key(camera): video for camera in self.cameras},
            **{k: {"dtype": "float32", "shape": [len(names)], "names": names} for k, names in vectors.items()},
            **{key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in scalars.items()},
            **self._geometry_features(),
        }

    def _geometry_features(self) -> dict[str, dict[str, Any]]:
        kinds = {
            "depth": ("uint16", [*self.size]),
            "intrinsics": ("float32", [3, 3]),
            "extrinsics": ("float32", [4, 4]),
        }
        return {
            f"observation.{name}.{camera}": {"dtype": dtype, "shape": shape, "names": ["row", "column"]}
            for camera in (self.cameras if self.depth else ())
            for name, (dtype, shape) in kinds.items()
        }

    def _write_names(self, kind: str, names: Mapping[str, int]) -> None:
        """Writes the table of all tasks or subtasks as pandas would: the texts are its index."""
        index, column = "__index_level_0__", f"{kind}_index"
        about = [
            {"name": name, "field_name": name or index, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in ((column, "int64", "int64"), (None, "unicode", "object"))
        ]
        pandas = {"index_columns": [index], "column_indexes": [], "columns": about, "pandas_version": "2.2.0"}
        table = self._arrow.table({column: list(names.values()), index: list(names)})
        table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
        self._write(self.folder / f"meta/{kind}s.parquet", table)

    def _film(self, path: Path, pictures: Sequence[np.ndarray]) -> None:
        part = path.with_name(f"part-{path.name}")
        with FilmWriter(part, DATASET_FPS) as film:
            for picture in pictures:
                film.add(picture)
        part.replace(path)

    def _write(self, path: Path, table: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        self._parquet.write_table(table, part)
        part.replace(path)


def _image_key(camera: str) -> str:
    return f"observation.images.{camera}"


def _numbers(column: Any) -> np.ndarray:
    """(N, D)"""
    return np.array(column.to_pylist(), dtype=float).reshape(len(column), -1)


def _write_json(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2), encoding="utf-8")
    part.replace(path)
