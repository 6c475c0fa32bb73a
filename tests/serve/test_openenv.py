"""The OpenEnv server, driven by OpenEnv's own clients in an environment of their own."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.counterparts import other_python
from tests.listening import free_port, wait_until_listening

from qwenarm.cli.main import main
from qwenarm.episode.replay import replay
from qwenarm.episode.trace import read
from qwenarm.factory import make_env
from qwenarm.skills import specs
from qwenarm.types import Outcome

pytestmark = pytest.mark.render
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [other_python("openenv"), "-m", "qwenarm", "serve", "openenv", "--task", "put", "--port", str(port)]
    environment = {**os.environ, "QWENARM_TOKEN": "secret", "PYTHONPATH": str(ROOT / "src")}
    server = subprocess.Popen([*command, "--out", str(tmp_path)], env=environment, cwd=tmp_path)
    wait_until_listening(server, port)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(timeout=120)


def test_openenvs_own_clients_play(url: str, tmp_path: Path) -> None:
    player = Path(__file__).with_name("openenv_player.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([other_python("openenv"), player, url], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["health"] == [401, 200, 401]
    assert "403" in told["no token"] and "403" in told["web page"]
    assert set(told["tools"]) == {spec.name for spec in specs()}
    assert any(text.startswith("Task: ") for text in told["texts"]) and told["images"] and told["same scene"]
    assert told["failed"] == [False, False, 0.0] and told["count"] == [1, 0], "every session has an arm of its own"
    assert told["ended"] == [True, True, 0.0] and "No episode is under way" in told["over"] and told["again"]
    assert {"content", "ok", "tools"} <= set(told["generic"])
    played = [episode for folder in sorted(tmp_path.glob("session-*")) for episode in read(folder).episodes]
    (ended,) = [episode for episode in played if episode.outcome is Outcome.GAVE_UP]
    assert ended.seed == 3 and dict(ended.run.policy)["client"] == "openenv"
    env = make_env(ended.run.config)
    assert replay(env, ended).same, "it is replayed like any episode"
    env.close()


def test_other_machines_need_a_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("QWENARM_TOKEN", raising=False)
    assert main(["serve", "openenv", "--host", "0.0.0.0"]) == 2
    assert "set a token in QWENARM_TOKEN" in capsys.readouterr().err
