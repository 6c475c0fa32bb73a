"""Our agent drives an arm in another simulator over openpi's protocol. That simulator is our environment here, which
knows nothing of skills: it gets joint targets through ``env.step`` alone.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.listening import free_port, wait_until_listening
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from qwenarm.env import ArmEnv
from qwenarm.policies.websocket import PolicyServer
from qwenarm.skills.heightmap import DEPTH_IMAGE_SIZE

MAX_PERIODS = 900


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", "-m", "qwenarm", "serve", "policy", "--port", str(number)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
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
    depth = dict.fromkeys(("front", "overhead"), np.ones((24, 32)))
    with pytest.raises(Exception, match="images\\['front'\\]"):
        client.infer({**arm, "depth": depth})
