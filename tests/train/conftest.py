"""A learner of the bundled model's shape with random weights, and a few real pictures, made once."""

from pathlib import Path

import numpy as np
import pytest

from qwenarm.train.config import Config
from qwenarm.train.frames import take_picture
from qwenarm.train.labels import Pictures
from qwenarm.train.learner import Learner


@pytest.fixture(scope="session")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Learner:
    return Learner(Config(out=Path(tmp_path_factory.mktemp("learner")), device="cpu"))


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    rng = np.random.default_rng(11)
    rgb, owner, objects, camera = map(np.stack, zip(*(take_picture(rng) for _ in range(6)), strict=True))
    return Pictures(rgb, owner.astype(np.int64), objects, camera)
