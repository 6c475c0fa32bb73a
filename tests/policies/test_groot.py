"""A policy behind GR00T's protocol: what is sent has its shapes, what comes back is played, and nothing is trusted."""

import pickle
import time
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.policies.groot_server import MODALITIES, groot_server, read, write

import qwenarm as qa
from qwenarm.cli.main import main
from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed
from qwenarm.policies.conventions import Conventions
from qwenarm.policies.groot import GrootServer, _array_to_map, _map_to_value
from qwenarm.types import Outcome

CONVENTIONS = """
state = ["tcp_pos", "tcp_euler_xyz", "finger_positions"]
prompt_key = "annotation.human.action.task_description"
action = "ee_delta"
rotation = "euler_xyz"
low = [-0.02, -0.02, -0.02, -0.1, -0.1, -0.1]
high = [0.02, 0.02, 0.02, 0.1, 0.1, 0.1]
gripper_closed = 0.0
gripper_open = 1.0
actions_played = 8
[cameras]
front = "image"
wrist = "wrist_image"
[state_keys]
x = 1
y = 1
z = 1
roll = 1
pitch = 1
yaw = 1
gripper = 2
[action_keys]
x = 1
y = 1
z = 1
roll = 1
pitch = 1
yaw = 1
gripper = 1
"""


def sinking(observation: dict[str, Any]) -> dict[str, np.ndarray]:
    """Goes down by 1 cm a period with open fingers. Checks what GR00T's own server checks."""
    assert {key: value.shape for key, value in observation["video"].items()} == {
        "image": (1, 1, 224, 224, 3), "wrist_image": (1, 1, 224, 224, 3)
    }  # fmt: skip
    assert all(value.dtype == np.uint8 for value in observation["video"].values())
    assert list(observation["state"]) == MODALITIES["state"][0]
    assert [value.shape for value in observation["state"].values()] == [(1, 1, 1)] * 6 + [(1, 1, 2)]
    assert all(value.dtype == np.float32 for value in observation["state"].values())
    (((words,),),) = observation["language"].values()
    assert "the" in words
    actions = {key: np.zeros((1, 16, 1), np.float32) for key in MODALITIES["action"][0]}
    return {**actions, "z": actions["z"] - 0.5, "gripper": actions["gripper"] + 1}


@pytest.fixture
def conventions(tmp_path: Path) -> str:
    path = tmp_path / "groot.toml"
    path.write_text(CONVENTIONS, encoding="utf-8")
    return f"#conventions={path}"


@given(arrays.arrays(st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]), arrays.array_shapes(min_dims=0)))
def test_arrays_survive_the_journey_in_both_directions(array: np.ndarray) -> None:
    for out, back in ((_array_to_map, read), (write, _map_to_value)):
        again = msgpack.unpackb(msgpack.packb({"a": array}, default=out), object_hook=back)["a"]
        assert again.dtype == array.dtype and again.shape == array.shape
        assert (again == array).all() or np.isnan(array.astype(float)).any()


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps("anything"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"12345678"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", b"1234"),
        npy("__import__('os').abort()"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (NumPy says it in many ways)
        _map_to_value({"__ndarray_class__": True, "as_npy": data})


@pytest.mark.render
def test_it_plays(conventions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwenarm.tasks.core.goal.MoveGoal.success", lambda self, state: state.time_s > 1.0)
    monkeypatch.setenv("QWENARM_POLICY_TOKEN", "secret")
    with groot_server(sinking, token="secret") as url:
        episode = qa.run(policy=url + conventions, film=False, folder=tmp_path / "out")
    assert episode.outcome is Outcome.SUCCESS and len(episode.turns) == 3
    heights = [turn.observation.proprio.tcp_pos[2] for turn in episode.turns]
    assert heights[0] - heights[2] == pytest.approx(0.16, abs=0.03), "16 periods of 1 cm"


def test_keys_and_time_steps_are_checked_before_anything_moves(
    conventions: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, told in (
        ({"state": (["single_arm", "gripper"], 1)}, "its state keys are gripper, single_arm; your conventions name"),
        ({"video": (["image", "wrist_image"], 2)}, "wants 2 time steps of video"),
    ):
        with groot_server(sinking, **wrong) as url:
            assert main(["run", "--policy", url + conventions, "--no-film"]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    with groot_server(sinking) as url:
        assert main(["run", "--policy", url, "--no-film"]) == 2
    assert "does not say what its actions mean" in " ".join(capsys.readouterr().err.split())


def test_errors_are_told_and_a_late_answer_goes_to_nobody() -> None:
    waits = [0.6, 0.0]

    def act(observation: dict[str, Any]) -> dict[str, np.ndarray]:
        time.sleep(waits.pop(0))
        return {"n": observation["state"]["n"]}

    with groot_server(act, token="secret") as url, pytest.raises(ModelUnavailable, match="Invalid API token"):
        GrootServer(url)
    with groot_server(act) as url:
        server = GrootServer(url, timeout_s=0.3)
        with pytest.raises(PromptFailed, match="did not answer within"):
            server.infer({"n": np.array([1.0], np.float32)})
        server.timeout_s = 5
        assert server.infer({"n": np.array([2.0], np.float32)})[0]["n"] == 2
        with pytest.raises(PromptFailed, match="pop from empty list"):
            server.infer({"n": np.array([3.0], np.float32)})
        server.close()
    with pytest.raises(ModelUnavailable, match="did not answer within"):
        GrootServer("zmq://127.0.0.1:1", timeout_s=0.2)


def test_a_state_or_action_in_parts() -> None:
    parts = Conventions(state_keys={"a": 2, "b": 1}, action_keys={"x": 1, "y": 2}, action="joint")
    sent = parts.sent_state(np.array([1.0, 2.0, 3.0]))
    assert sent["a"].tolist() == [1, 2] and sent["b"].tolist() == [3]
    with pytest.raises(BadInput, match="state_keys have 3 numbers, and the state has 4"):
        parts.sent_state(np.zeros(4))
    actions = parts.received_actions({"y": np.ones((5, 2)), "x": np.zeros((5, 1)), "other": "text"})
    assert actions is not None and actions.tolist() == [[0, 1, 1]] * 5
    for wrong in ({"x": np.zeros((5, 1))}, {"x": np.zeros((5, 1)), "y": np.zeros((4, 2))}, {"x": 1, "y": 2}):
        assert parts.received_actions(wrong) is None
