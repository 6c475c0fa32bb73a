"""Run by the Python of an environment with the real lerobot: prints what it reads of a dataset as JSON."""

import json
import sys

import torch

try:
    import torchvision
except RuntimeError:  # a torchvision without the operators of this torch: reading needs none of them
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
import av
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset


class VideoReader:
    """As torchvision's, which its newest versions have no more."""

    def __init__(self, path: str, stream: str) -> None:
        self.container = av.open(path)

    def seek(self, seconds: float, keyframes_only: bool = False) -> None:
        self.container.seek(int(seconds * av.time_base))

    def __iter__(self):
        for frame in self.container.decode(video=0):
            rgb = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
            yield {"data": rgb, "pts": float(frame.time)}


if not hasattr(torchvision.io, "VideoReader"):
    torchvision.io.VideoReader = VideoReader
    torchvision.set_video_backend = lambda backend: None
dataset = LeRobotDataset("local/test", root=sys.argv[1], video_backend="pyav")
first, last = dataset[0], dataset[len(dataset) - 1]
picture = last["observation.images.front"]
print(
    json.dumps(
        {
            "episodes": dataset.num_episodes,
            "frames": dataset.num_frames,
            "fps": dataset.fps,
            "task": last["task"],
            "skill": last["skill"],
            "success": bool(last["next.success"]),
            "seed": int(last["seed"]),
            "first_state": first["observation.state"].tolist(),
            "action": last["action"].tolist(),
            "picture": np.asarray(picture[:, ::16, ::16]).tolist(),
            "stats": {key: sorted(stats) for key, stats in dataset.meta.stats.items()},
            "seeds": [int(row["qwenarm/seed"]) for row in dataset.meta.episodes],
        }
    )
)
