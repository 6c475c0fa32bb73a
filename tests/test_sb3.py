"""Stable-Baselines3 trains on the environment, with flat observations."""

import gymnasium
import numpy as np
import pytest
from tests.counterparts import counterpart

import qwenarm  # noqa: F401  (registers the ids)


@pytest.mark.parametrize("control", ["ee_delta"])
def test_ppo_runs_two_thousand_steps(control: str) -> None:
    sb3 = counterpart("stable_baselines3")
    env = gymnasium.make("qwenarm/Put-v0", control=control, cameras=(), object_state=True, max_episode_steps=100)
    flat = gymnasium.wrappers.FlattenObservation(env)
    model = sb3.PPO("MlpPolicy", flat, n_steps=250, batch_size=125, n_epochs=1, device="cpu", seed=0)
    model.learn(2000)
    assert model.num_timesteps == 2000 and model.ep_info_buffer
    action, _ = model.predict(flat.reset(seed=1)[0])
    assert flat.action_space.contains(action.astype(np.float32))
    flat.close()
