"""Our agent drives an arm in another simulator over openpi's protocol. That simulator is our environment here, which
knows nothing of skills: it gets joint targets through ``env.step`` alone.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import SHUT_WR, create_connection
from typing import Any

import numpy as np
import pytest
from tests.listening import free_port, wait_until_listening
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput
from qwenarm.policies.websocket import PolicyServer
from qwenarm.registry import load
from qwenarm.serve.remote_body import RemoteBody
from qwenarm.skills.heightmap import DEPTH_IMAGE_SIZE

MAX_PERIODS = 900


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "stderr"


@pytest.fixture(scope="module")
def port(errors: Path) -> Iterator[int]:
    number = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", "-m", "qwenarm", "serve", "policy", "--port", str(number)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors.open("wb"), text=True)
    assert server.stdout and "ws://127.0.0.1" in server.stdout.readline()
    wait_until_listening(server, number)
    yield number
    server.terminate()
    assert server.wait(timeout=120) == 130


class OwnClient:
    """The client of our side, in the form of openpi's."""

    def __init__(self, host: str, port: int) -> None:
        self.server = PolicyServer(f"ws://{host}:{port}")

    def get_server_metadata(self) -> Any:
        return self.server.metadata

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        return self.server.infer(observation)[0]


def observation(env: ArmEnv, rgb: np.ndarray) -> dict[str, Any]:
    """What another simulator would send: a picture, depth images, where its cameras stand, and the arm's own state."""
    body, told = env.body, {}
    for camera in ("front", "overhead"):
        pos, mat, fovy = body.camera_pose(camera)
        told[camera] = {"pos": pos, "mat": mat, "fovy_deg": fovy}
    return {
        "prompt": env.instruction,
        "images": {"front": rgb},
        "depth": {camera: body.depth(camera, DEPTH_IMAGE_SIZE) for camera in told},
        "cameras": told,
        "joints": body.qpos,
        "gripper_width": body.gripper_width,
    }


def play(client: Any, seed: int) -> tuple[bool, list[str]]:
    env = ArmEnv("put", control="joint", cameras=("front",))
    seen, info = env.reset(seed=seed)
    said: list[str] = []
    for period in range(MAX_PERIODS):
        answer = client.infer({**observation(env, seen["pixels"]["front"]), "reset": period == 0})
        said += [answer["said"]] if answer["said"] else []
        if answer["done"]:
            break
        seen, _, _, _, info = env.step(np.asarray(answer["actions"])[0])
    env.close()
    return bool(info["is_success"]), said


def check(client: Any) -> None:
    assert client.get_server_metadata()["conventions"]["action"] == "joint"
    for seed in (3, 4):
        success, said = play(client, seed)
        assert success, said
        assert [words.split(":")[0] for words in said] == ["pick", "place", "done"]


@pytest.mark.slow
@pytest.mark.render
def test_the_bundled_model_puts_a_thing_in_a_bowl_elsewhere(port: int) -> None:
    check(OwnClient("127.0.0.1", port))


@pytest.mark.render
def test_openpis_own_client(port: int) -> None:
    openpi = pytest.importorskip("openpi_client.websocket_client_policy", reason="make test-doors installs it")
    check(openpi.WebsocketClientPolicy("127.0.0.1", port))


def test_no_web_page_may_connect(port: int) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{port}", origin=Origin("http://evil.example"))


def test_strangers_are_turned_away_without_a_word(port: int, errors: Path) -> None:
    for junk in (b"", b"\0" * 5000, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000):
        with create_connection(("127.0.0.1", port)) as stranger, suppress(ConnectionError):
            stranger.sendall(junk)
            stranger.shutdown(SHUT_WR)
            while stranger.recv(1000):
                pass
    OwnClient("127.0.0.1", port).server.close()
    assert "Traceback" not in errors.read_text()


def test_a_wrong_observation_is_told(port: int) -> None:
    client = OwnClient("127.0.0.1", port)
    for wrong, told in (({}, "prompt"), ({"prompt": "x"}, "joints"), ({"prompt": "x", "joints": [1.0]}, "shape")):
        with pytest.raises(Exception, match=told):
            client.infer(wrong)
    arm = {"prompt": "x", "joints": np.zeros(7), "gripper_width": 0.05}
    assert client.get_server_metadata()["depth_cameras"] == ["front", "overhead"]
    for depth, told in (({}, "of front, overhead"), ({"front": np.ones((24, 32))}, "of overhead from the first")):
        with pytest.raises(Exception, match=told):
            client.infer({**arm, "depth": depth})
    seen = {**arm, "depth": dict.fromkeys(("front", "overhead"), np.ones((24, 32)))}
    for images in ({}, {"front": np.zeros((0, 0, 3), np.uint8)}, {"front": np.zeros((24, 32, 3))}):
        with pytest.raises(Exception, match="images\\['front'\\]"):
            client.infer({**seen, "images": images})
    for wrong, told in (({"images": 5}, "'images' is a map"), ({"prompt": "red " * 1000}, "2000 characters")):
        with pytest.raises(Exception, match=told):
            client.infer({**seen, **wrong})


CAMERA = {"pos": np.zeros(3), "mat": np.eye(3), "fovy_deg": 45.0}
ODD_VALUES = [
    *(5, "x", [1], [[]], {"front": 5}, {"front": {}}, np.zeros(7), np.full(7, np.inf), np.full(7, 90.0), 1e300),
    *(np.full((3, 3), np.nan), np.zeros((3, 3)), np.zeros((0, 0)), np.array(["a"])),
]


@pytest.mark.parametrize("name", ["joints", "gripper_width", "depth", "cameras", *CAMERA])
def test_an_odd_observation_is_told_or_leaves_a_possible_arm(name: str) -> None:
    body = RemoteBody(load("arms", "panda"))
    arm = {"joints": np.zeros(7), "gripper_width": 0.05, "depth": {"front": np.ones((24, 32))}}
    for odd in ODD_VALUES:
        wrong = {"cameras": {"front": {**CAMERA, name: odd}}} if name in CAMERA else {name: odd}
        with suppress(BadInput):
            body.sync({**arm, **wrong})
    body.sync(arm)
    pos, mat, fovy = body.camera_pose("front")
    assert np.isfinite(pos).all() and np.isclose(np.linalg.det(mat), 1) and 0 < fovy < 180
    assert body.depth("front", (48, 64)).shape == (48, 64) and body.qpos.shape == (7,)
    assert np.isfinite(body.tcp_pos).all() and np.isfinite(body.gripper_width)
