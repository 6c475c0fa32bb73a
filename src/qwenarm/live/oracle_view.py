"""What the oracle would do at every look, for visitors to compare: no policy is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from qwenarm.diagnosis.ground_truth import GroundTruth
from qwenarm.display.captions import call_text
from qwenarm.display.marks import marks
from qwenarm.episode.watchers import Watcher
from qwenarm.types import Observation

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv


class OracleView(Watcher):
    """Writes the oracle's next call and where it would point. A watcher of its own: if it fails, the rest is told.

    Args:
        write: (kind, fields) is written into the journal.
    """

    def __init__(self, write: Callable[..., None]) -> None:
        self.write, self.turn = write, 0

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self.env = env

    def looked(self, obs: Observation) -> None:
        self.turn += 1
        cameras = {camera.name for camera in self.env.body.scene.cameras}
        seen = [frame for frame in obs.frames if frame.camera in cameras]
        call = GroundTruth(self.env, [frame.camera for frame in seen]).call
        if call is not None:
            points = [{"camera": frame.camera, **asdict(mark)} for frame in seen for mark in marks(frame, [call])]
            self.write("oracle", turn=self.turn, call=call_text(call), marks=points)
