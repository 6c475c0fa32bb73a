"""Qwen-Agent itself drives the arm: with pictures by our example, and with words alone over MCP."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.counterparts import other_python

from qwenarm.episode.trace import read
from qwenarm.types import Outcome

pytestmark = pytest.mark.render
ROOT = Path(__file__).parent.parent
ANSWERS = (
    '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "give_up", "arguments": {"reason": "only a test"}}\n</tool_call>',
    "It is over.",
)
OVER_MCP = """
from qwen_agent.tools.mcp_manager import MCPManager
arm = {"command": "qwenarm", "args": ["serve", "mcp", "--task", "put"]}
tools = {tool.name: tool for tool in MCPManager().initConfig({"mcpServers": {"arm": arm}})}
print(sorted(tools), tools["arm-observe"].call("{}"))
"""


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenAI-compatible server that streams one answer after the other, and the requests that it got."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            delta = {"role": "assistant", "content": ANSWERS[len(requests) - 1]}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "qwen"}
            chunk |= {"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/v1", requests
    http.shutdown()


def pictures(request: dict[str, Any]) -> int:
    parts = [
        part for message in request["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    return sum(part["type"] == "image_url" for part in parts)


def test_qwen_agent_arm(server: tuple[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    url, requests = server
    words = [other_python("openenv"), ROOT / "examples/qwen_agent_arm.py", "--server", url, "--out", tmp_path / "runs"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("gave up"), done.stdout + done.stderr[-3000:]
    assert [pictures(request) for request in requests] == [1, 2, 2], "at the start, and after each call but the last"
    assert '"name": "pick"' in json.dumps(requests[0]["messages"][0]).replace("\\", "")
    (episode,) = read(tmp_path / "runs").episodes
    assert episode.outcome is Outcome.GAVE_UP and dict(episode.run.policy)["client"] == "qwen-agent"


def test_over_mcp_the_words_arrive(tmp_path: Path) -> None:
    python, program = other_python("openenv"), tmp_path / "qwenarm"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT / "src"} exec {sys.executable} -P -m qwenarm "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    done = subprocess.run([python, "-c", OVER_MCP], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "'arm-pick'" in done.stdout and "Task: " in done.stdout and "Calls left: 8 of 8" in done.stdout
