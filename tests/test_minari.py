"""Minari records the environment, infos included, and gives back what was observed."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from tests.counterparts import counterpart

import qwenarm  # noqa: F401  (registers the ids)


@pytest.mark.render
def test_minari_records_infos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = counterpart("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    options = {"cameras": ("front",), "frame_size": (24, 32), "depth": True, "max_episode_steps": 3}
    env = minari.DataCollector(gymnasium.make("qwenarm/Put-v0", **options), record_infos=True, data_format="arrow")
    seen, told = [], []
    for seed in (1, 2):
        observation, info = env.reset(seed=seed)
        told.append(info["instruction"])
        for _ in range(3):
            seen.append(observation["depth"]["front"])
            observation = env.step(env.action_space.sample())[0]
    dataset = env.create_dataset("qwenarm/put-v0", algorithm_name="random", description="a test", eval_env=env.spec)
    env.close()
    assert (dataset.total_episodes, dataset.total_steps) == (2, 6)
    episodes = list(dataset)
    assert np.array_equal(np.concatenate([each.observations["depth"]["front"][:3] for each in episodes]), seen)
    assert [str(each.infos["instruction"][0]) for each in episodes] == told
    assert {len(values) for each in episodes for values in each.infos.values()} == {4}, "a reset and three steps"
