"""The MCP server, driven by the SDK's own client over stdio and over HTTP."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from tests.listening import free_port, wait_until_listening

from qwenarm.cli.main import main
from qwenarm.episode.replay import replay
from qwenarm.episode.trace import read
from qwenarm.factory import make_env
from qwenarm.serve.access import admitted
from qwenarm.serve.session import AgentSession
from qwenarm.skills import specs
from qwenarm.types import Outcome, RunConfig

pytestmark = pytest.mark.render
SERVE = ("-P", "-m", "qwenarm", "serve", "mcp", "--task", "put", "--seed", "3")


def point(x: int, y: int, label: str = "thing") -> dict[str, Any]:
    return {"at": {"label": label, "point_2d": [x, y]}}


def words(result: Any) -> str:
    return "\n".join(part.text for part in result.content if part.type == "text")


async def play(client: Client) -> list[Any]:
    """Looks, makes one call that fails and one that cannot be read, gives up, and goes on to the next episode."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {spec.name for spec in specs()} | {"observe", "next_episode"}
    assert tools["pick"].input_schema["properties"]["at"]["properties"]["point_2d"]["type"] == "array"
    calls = (("observe", {}), ("pick", point(1, 1)), ("pick", {"at": "there"}), ("next_episode", {}))
    results = [await client.call_tool(*call) for call in calls]
    results.append(await client.call_tool("give_up", {"reason": "only a test"}))
    results.append(await client.call_tool("look", {}))
    results.append(await client.call_tool("next_episode", {}))
    return results


def check(results: list[Any], folder: Path) -> None:
    seen, failed, unreadable, too_early, ended, over, fresh = results
    assert [part.mime_type for part in seen.content if part.type == "image"] == ["image/png"]
    assert "Task: could you put" in words(seen) and "Calls left: 8 of 8" in words(seen) and not seen.is_error
    assert failed.is_error and words(failed).startswith("pick: failed, ") and "Calls left: 7" in words(failed)
    assert unreadable.is_error and "is not one point" in words(unreadable)
    assert too_early.is_error and "not over" in words(too_early)
    assert not ended.is_error and words(ended) == "give_up: ok.\nThe episode is over."
    assert over.is_error and "No episode" in words(over)
    assert "Calls left: 8 of 8" in words(fresh) and words(fresh) != words(seen)
    said = "\n".join(map(words, results)).lower()
    assert "success" not in said and "progress" not in said and "gave up" not in said
    (episode,) = read(folder).episodes
    assert (episode.outcome, episode.seed, len(episode.turns)) == (Outcome.GAVE_UP, 3, 3)
    assert (folder / "put-3.html").exists()
    env = make_env(episode.run.config)
    assert replay(env, episode).same, "it is replayed like any episode"
    env.close()


def test_over_stdio(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    server = StdioServerParameters(
        command=sys.executable, args=[*SERVE, "--out", str(tmp_path)], env=environment, cwd=str(tmp_path)
    )

    async def run() -> list[Any]:
        async with Client(server) as client:
            assert "point_2d is [x, y]" in (client.instructions or "")
            return await play(client)

    check(asyncio.run(run()), tmp_path)


@pytest.fixture
def http(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "QWENARM_TOKEN": "secret"}
    command = [sys.executable, *SERVE, "--out", str(tmp_path), "--http", str(port)]
    server = subprocess.Popen(command, env=environment, cwd=tmp_path)
    wait_until_listening(server, port)
    yield f"http://127.0.0.1:{port}/mcp"
    server.terminate()
    assert server.wait(timeout=120) == 0 or server.returncode == 130


def test_over_http_with_a_token(http: str, tmp_path: Path) -> None:
    assert httpx2.post(http, json={}).status_code == 401

    async def run() -> list[Any]:
        headers = {"Authorization": "Bearer secret"}
        async with (
            httpx2.AsyncClient(headers=headers) as web,
            Client(streamable_http_client(http, http_client=web)) as client,
        ):
            return await play(client)

    check(asyncio.run(run()), tmp_path)


def test_other_machines_need_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("QWENARM_TOKEN", raising=False)
    assert main(["serve", "mcp", "--http", "1", "--host", "0.0.0.0", "--out", str(tmp_path)]) == 2
    assert "set a token in QWENARM_TOKEN" in capsys.readouterr().err
    assert admitted("", None) and admitted("t", "bearer t") and admitted("t", "Api-Key t")
    assert not admitted("t", None) and not admitted("t", "t") and not admitted("t", "Bearer T")


def test_an_episode_that_is_left_is_stored_as_stopped(tmp_path: Path) -> None:
    session = AgentSession(RunConfig(), "test", tmp_path)
    session.begin(1)
    shown = session.call("look", {})
    assert shown.ok and any(isinstance(part, np.ndarray) for part in shown.parts)
    session.close()
    (episode,) = read(tmp_path).episodes
    assert episode.outcome is Outcome.STOPPED and "stopped" in episode.detail.lower()
    assert Image.open(next((tmp_path / "frames").iterdir())).size == (640, 480)
