"""Run by the Python of an environment with the real lerobot: prints what it reads of a dataset as JSON."""

import json
import sys

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("local/test", root=sys.argv[1])
first, last = dataset[0], dataset[len(dataset) - 1]
picture = last["observation.images.front"]
print(
    json.dumps(
        {
            "episodes": dataset.num_episodes,
            "frames": dataset.num_frames,
            "fps": dataset.fps,
            "task": last["task"],
            "subtasks": [dataset[index]["subtask"] for index in (0, len(dataset) - 1)],
            "success": bool(last["next.success"]),
            "seed": int(last["seed"]),
            "first_state": first["observation.state"].tolist(),
            "action": last["action"].tolist(),
            "picture": np.asarray(picture[:, ::16, ::16]).tolist(),
            **{name: last[f"observation.{name}.front"].tolist() for name in ("depth", "intrinsics", "extrinsics")},
            "stats": {key: sorted(stats) for key, stats in dataset.meta.stats.items()},
            "seeds": [int(row["qwenarm/seed"]) for row in dataset.meta.episodes],
        }
    )
)
