"""A policy of 20 Hz actions behind a websocket plays, is checked, recorded, replayed and resumed."""

import math
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation
from tests.policies.policy_server import policy_server, sinking
from websockets.sync.server import ServerConnection, serve

import qwenarm as qa
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.cli.main import main
from qwenarm.diagnosis.attribute import attribute
from qwenarm.episode.replay import replay
from qwenarm.episode.rollout import execute
from qwenarm.episode.trace import read
from qwenarm.episode.watchers import Tell
from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed
from qwenarm.factory import make_env
from qwenarm.policies.conventions import (
    ROTATION_READERS,
    Conventions,
    agreed,
    as_plain,
    make_conventions,
    read_conventions,
)
from qwenarm.policies.numpy_msgpack import pack, unpack
from qwenarm.policies.websocket import PolicyServer
from qwenarm.registry import load
from qwenarm.types import FormatError, Outcome, SkillCall

DELTAS = {"conventions": {"action": "ee_delta"}}
ROWS = arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.just(7)), elements=st.floats(-0.05, 0.05))


@given(arrays.arrays(st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]), arrays.array_shapes(min_dims=0)))
def test_messages_survive_the_journey(array: np.ndarray) -> None:
    back = unpack(pack({"a": array, "b": {"c": "text", "d": np.float32(0.5)}}))
    assert back["a"].dtype == array.dtype and back["a"].shape == array.shape
    assert (back["a"] == array).all() or np.isnan(array.astype(float)).any()
    assert back["b"] == {"c": "text", "d": 0.5}


@pytest.mark.parametrize(
    "message",
    [
        b"\x80\x04\x95",  # the beginning of a pickle
        b"\xc1",
        b"\x91\x01",
        pack({"x": 1})[:-1],
        pack({"a": {b"__ndarray__": True, b"data": b"12345678", b"dtype": "|O", b"shape": [1]}}),
        pack({"a": {b"__ndarray__": True, b"data": b"1234", b"dtype": "<f4", b"shape": [2]}}),
        pack({"a": {b"__ndarray__": True, b"data": b"1234", b"dtype": "<f4", b"shape": [-1]}}),
        "Traceback:\nValueError: no",
    ],
)
def test_what_is_no_message_is_told_and_never_executed(message: bytes | str) -> None:
    with pytest.raises(BadInput):
        unpack(message)
    with pytest.raises(TypeError):
        pack({"a": np.array([object()])})


@given(ROWS)
def test_every_way_to_write_an_action_means_the_same_motion(rows: np.ndarray) -> None:
    """Sign of the gripper, normalisation, notation of the turn: undone, they give the same rows."""
    rows[:, 6] = np.abs(rows[:, 6]) * 20
    plain = Conventions(gripper_closed=0.0, gripper_open=1.0)
    expected = plain.played(rows, 7)
    low, high = np.linspace(-0.5, -0.1, 6), np.linspace(0.2, 0.9, 6)
    written = np.column_stack([2 * (rows[:, :6] - low) / (high - low) - 1, 1 - 2 * rows[:, 6]])
    euler = Rotation.from_rotvec(rows[:, 3:6]).as_euler("xyz")
    others = (
        (Conventions(low=tuple(low), high=tuple(high), gripper_closed=1.0, gripper_open=-1.0), written),
        (
            Conventions(rotation="euler_xyz", gripper_closed=0.0, gripper_open=1.0),
            np.column_stack([rows[:, :3], euler, rows[:, 6]]),
        ),
    )
    for convention, actions in others:
        assert np.allclose(convention.played(actions, 7), expected, atol=2e-6)


@pytest.mark.parametrize("order", ["quaternion_wxyz", "quaternion_xyzw"])
def test_the_order_of_a_quaternion(order: str) -> None:
    quat = Rotation.from_euler("xyz", [3.0, 0.1, 0.2]).as_quat(scalar_first=order.endswith("wxyz"))
    (row,) = Conventions(action="ee_pose", rotation=order).played(np.array([[0.4, 0, 0.3, *quat, 1]]), 7)
    assert np.allclose(Rotation.from_quat(row[3:7], scalar_first=True).as_euler("xyz"), [3.0, 0.1, 0.2], atol=1e-5)
    assert np.allclose(ROTATION_READERS[order](quat[None]).as_euler("xyz"), [[3.0, 0.1, 0.2]])


@pytest.mark.parametrize(
    ("convention", "actions", "told"),
    [
        (Conventions(), np.zeros((3, 8)), "shape (T, 7)"),
        (Conventions(), np.zeros((0, 7)), "shape (T, 7)"),
        (Conventions(), np.full((1, 7), np.nan), "not finite"),
        (Conventions(), np.full((1, 7), 0.5), "check action, low, high and units"),  # normalised, and not declared
        (Conventions(action="ee_pose", rotation="quaternion_wxyz"), np.zeros((1, 8)), "length 0"),
        (Conventions(action="joint"), np.full((1, 8), 90.0), "check action"),  # degrees
        (Conventions(action="joint", low=(-1.0,), high=(1.0,)), np.zeros((1, 8)), "low and high have 1"),
    ],
)
def test_numbers_that_contradict_the_conventions(convention: Conventions, actions: np.ndarray, told: str) -> None:
    with pytest.raises(BadInput, match=told.replace("(", r"\(").replace(")", r"\)")):
        convention.played(actions, 7)


def test_conventions_are_declared_by_one_side_and_agree(tmp_path: Path) -> None:
    own = Conventions(gripper_closed=1.0, gripper_open=-1.0)
    assert (
        make_conventions(as_plain(own), "here") == own == agreed(own, None, "ws://x") == agreed(None, as_plain(own), "")
    )
    with pytest.raises(BadInput, match=r"says gripper_closed = -1\.0, and your conventions say 1\.0"):
        agreed(own, {"gripper_open": 1, "gripper_closed": -1}, "ws://x")
    with pytest.raises(BadInput, match="does not say what its actions mean"):
        agreed(None, None, "ws://x")
    path = tmp_path / "mine.toml"
    path.write_text('action = "joint"\nimage_size = [96, 128]\n[cameras]\nwrist = "image"\n', encoding="utf-8")
    assert read_conventions(str(path)) == Conventions({"wrist": "image"}, (96, 128), action="joint")
    for text, told in (
        ("speed = 1", "no convention 'speed'"),
        ("action = 1", "action is '1'"),
        ('frame = "up"', "Valid"),
        ("low = [-1.0]\nhigh = [1.0]", "an action of ee_delta has 6 and the gripper's"),
        ("action_keys = {x = 3}", "action_keys have 3 numbers"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadInput, match=told):
            read_conventions(str(path))


ODD_VALUES = [
    *(None, True, -1, 0, 10**400, 1e308, math.nan, math.inf, "", "x", [], {}, [1], ["a"], {"front": 5}),
    *([math.nan] * 6, [True] * 6, ["a"] * 6, [0, 0], [-1, 5], [10**9, 10**9], [1.5, 2.5], [96, 128, 3]),
]


@pytest.mark.parametrize("name", [each.name for each in fields(Conventions)])
def test_an_odd_convention_is_refused_or_moves_by_finite_numbers(name: str) -> None:
    for odd in ODD_VALUES:
        told = {"low": [-0.1] * 6, "high": [0.1] * 6, name: odd}
        try:
            convention = make_conventions(told, "server")
            rows = convention.played(np.zeros((2, convention.action_size(7) + 1)), 7)
        except BadInput:
            continue
        assert np.isfinite(rows).all() and len(convention.image_size) == 2, odd
        assert all(isinstance(side, int) and 0 < side < 10**4 for side in convention.image_size), odd
        assert all(isinstance(key, str) for key in convention.cameras.values()), odd


def end_of(skill: str, rows: list[list[float]]) -> tuple[np.ndarray, np.ndarray, Body]:
    body = Body(Scene(()), load("arms", "panda"))
    start = body.tcp_pos
    result = execute(body, SkillCall(skill, {"actions": rows}), Tell(None, []))  # type: ignore[arg-type]
    assert result.ok, result
    return start, body.tcp_pos, body


def test_a_chunk_moves_the_hand_as_it_says() -> None:
    start, end, _ = end_of("action_chunk:EE_DELTA", [[0, 0.004, -0.004, 0, 0, 0, 1]] * 20 + [[0] * 6 + [1]] * 5)
    assert np.allclose(end - start, [0, 0.08, -0.08], atol=2e-3)
    start, end, _ = end_of("action_chunk:EE_DELTA_HAND", [[0, 0, 0.004, 0, 0, 0, 1]] * 20 + [[0] * 6 + [1]] * 5)
    assert np.allclose(end - start, [0, 0, -0.08], atol=2e-3), "the hand points down"
    _, end, body = end_of("action_chunk:EE_POSE", [[0.45, 0.1, 0.3, 0, 1, 0, 0, 0]] * 80)
    assert np.allclose(end, [0.45, 0.1, 0.3], atol=2e-3) and body.gripper_width < 2e-3
    home = list(load("arms", "panda").home_qpos)
    _, _, body = end_of("action_chunk:JOINT", [[home[0] + 0.2, *home[1:], 0.5]] * 30)
    assert abs(body.qpos[0] - home[0] - 0.2) < 2e-3 and abs(body.gripper_width - 0.5 * body.arm.max_gap) < 2e-3


def test_a_chunk_that_makes_no_sense_is_a_failed_call() -> None:
    body = Body(Scene(()), load("arms", "panda"))
    for rows in ([], "up", [[1.0, float("nan")]], [[0.0] * 7, [0.0] * 6], [0.1] * 7):
        result = execute(body, SkillCall("action_chunk:EE_DELTA", {"actions": rows}), Tell(None, []))  # type: ignore[arg-type]
        assert not result.ok and "rows of finite numbers" in result.detail


@pytest.mark.render
def test_an_evaluation_is_recorded_resumed_replayed_and_reported(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def infer(observation: dict[str, Any]) -> np.ndarray:
        asked.append(observation)
        return sinking(observation)

    with policy_server(infer, {**DELTAS, "checkpoint": "test"}) as url:
        first = qa.evaluate(url, tasks="put", seeds=1, folder=tmp_path)
        count = len(asked)
        again = qa.evaluate(url, tasks="put", seeds=1, folder=tmp_path)
        assert len(asked) == count, "what the ledger holds is not played again"
    assert [row.outcome for row in first.rows] == [Outcome.OUT_OF_TURNS] == [row.outcome for row in again.rows]
    assert count == 120, "a minute, ten actions an answer"
    assert len(asked[0]["observation/state"]) == 8 and "the" in asked[0]["prompt"]
    episode = read(tmp_path).episodes[0]
    assert episode.turns[0].observation.proprio.tcp_pos[2] > 0.3 > episode.turns[9].observation.proprio.tcp_pos[2]
    assert dict(episode.run.policy)["server"] == {"checkpoint": "test"}
    assert sum(episode.turns[50].clamps.values()), "the limits held at the table"
    env = make_env(episode.run.config)
    assert replay(env, episode).same, "and it is replayed without a server"
    env.close()
    assert first.report(tmp_path / "report").exists()
    with pytest.raises(BadInput, match="makes no calls that could be replaced"):
        list(attribute(tmp_path))


@pytest.mark.render
def test_the_episode_ends_when_the_goal_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwenarm.tasks.core.goal.MoveGoal.success", lambda self, state: state.time_s > 1.2)
    with policy_server(sinking, DELTAS) as url:
        episode = qa.run(policy=url, film=False, folder=tmp_path)
    assert episode.outcome is Outcome.SUCCESS and len(episode.turns) == 3


@pytest.mark.render
def test_wrong_answers_move_nothing_and_a_failing_server_is_named(tmp_path: Path) -> None:
    with policy_server(lambda obs: np.ones((4, 7)), DELTAS) as url:
        episode = qa.run(policy=url, film=False, folder=tmp_path / "1")
    assert episode.outcome is Outcome.FORMAT and episode.turns[0].decision.error is FormatError.BROKEN
    assert episode.turns[-1].sim_time_s == 0 and "check action" in episode.turns[0].decision.detail
    with policy_server(lambda obs: "up", DELTAS) as url:
        episode = qa.run(policy=url, film=False, folder=tmp_path / "3")
    assert episode.outcome is Outcome.CRASHED and "sent no chunk of actions under 'actions', an array" in episode.detail
    with policy_server(lambda obs: 1 / 0, DELTAS) as url:
        episode = qa.run(policy=url, film=False, folder=tmp_path / "2")
    assert episode.outcome is Outcome.CRASHED and "ZeroDivisionError: division by zero" in episode.detail


def test_a_late_answer_is_never_paired_with_a_newer_observation() -> None:
    release, seen = threading.Event(), list[int]()

    def infer(observation: dict[str, Any]) -> np.ndarray:
        seen.append(int(observation["n"]))
        if seen[-1] == 1:
            release.wait(10)
        return np.full((1, 7), observation["n"])

    with policy_server(infer, {}) as url:
        server = PolicyServer(url, timeout_s=0.3)
        with pytest.raises(PromptFailed, match="did not answer within"):
            server.infer({"n": 1})
        release.set()  # the late answer is on its way
        time.sleep(0.2)
        for n in (2, 3):
            answer, _ = server.infer({"n": n})
            assert (answer["actions"] == n).all()
        server.close()
    assert seen == [1, 2, 3]


def test_a_message_that_was_not_asked_for_is_never_an_answer() -> None:
    def talk(connection: ServerConnection) -> None:
        connection.send(pack({}))
        for message in connection:
            connection.send(message)
            connection.send(pack({"n": 0}))

    with serve(talk, "127.0.0.1", 0) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        server = PolicyServer(f"ws://127.0.0.1:{listening.socket.getsockname()[1]}")
        assert server.infer({"n": 1})[0] == {"n": 1}
        time.sleep(0.2)  # the other one arrives
        with pytest.raises(PromptFailed, match="not asked for"):
            server.infer({"n": 2})
        assert server.infer({"n": 3})[0] == {"n": 3}, "over a new connection"
        server.close()
        listening.shutdown()


def test_a_server_that_comes_back_as_another_is_refused() -> None:
    with policy_server(sinking, {"checkpoint": "a"}) as url:
        server, port = PolicyServer(url), int(url.rpartition(":")[2])
        server.close()
    with policy_server(sinking, {"checkpoint": "b"}, port), pytest.raises(ModelUnavailable, match="differently"):
        server.infer({"n": 1})


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelUnavailable, match="No policy answers at ws://127"):
        PolicyServer("ws://127.0.0.1:1")
    assert main(["run", "--policy", "ws://127.0.0.1:1", "--no-film"]) == 2
    assert "No policy answers" in capsys.readouterr().err
