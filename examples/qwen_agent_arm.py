"""An agent of Qwen-Agent that sees drives the arm: skills are its tools, and pictures are their results.

    pip install qwen-agent soundfile
    python examples/qwen_agent_arm.py --server http://localhost:8000/v1 --model Qwen/Qwen3-VL-4B-Instruct

Over MCP (``qwenarm serve mcp``) Qwen-Agent gets the words alone: it drops the pictures in the results of such tools.
"""

import base64
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from qwen_agent.agents import Assistant  # pyright: ignore[reportMissingImports]
from qwen_agent.llm.schema import ContentItem, Message  # pyright: ignore[reportMissingImports]
from qwen_agent.tools.base import BaseTool  # pyright: ignore[reportMissingImports]

from qwenarm import RunConfig
from qwenarm.episode.trace import png
from qwenarm.serve.session import AgentSession, Shown


class ArmSkill(BaseTool):
    """One skill of the arm as a tool."""

    def __init__(self, session: AgentSession, function: dict[str, Any]) -> None:
        schema = function["parameters"]
        self.session, self.name, self.description = session, function["name"], function["description"]
        self.parameters = {"type": "object", "properties": schema["properties"], "required": schema.get("required", [])}
        super().__init__()

    def call(self, params: str | dict, **others: Any) -> list[Any]:
        """Carries the call out."""
        return content(self.session.call(self.name, self._verify_json_format_args(params)))


def content(shown: Shown) -> list[Any]:
    """What is shown, as the parts of a message."""
    return [
        ContentItem(text=part)
        if isinstance(part, str)
        else ContentItem(image="data:image/png;base64," + base64.b64encode(png(part)).decode())
        for part in shown.parts
    ]


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--server", default="http://localhost:8000/v1")
    parser.add_argument("--model", default="Qwen/Qwen3-VL-4B-Instruct")
    parser.add_argument("--task", default="put")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/qwen-agent"))
    args = parser.parse_args()
    session = AgentSession(RunConfig(args.task), "qwen-agent", args.out)
    shown = session.begin(args.seed)
    llm = {"model_type": "qwenvl_oai", "model": args.model, "model_server": args.server, "api_key": "EMPTY"}
    skills = [ArmSkill(session, tool["function"]) for tool in session.tools()]
    agent = Assistant(llm=llm, function_list=skills, system_message=session.instructions())
    for _ in agent.run([Message(role="user", content=content(shown))]):
        pass  # each is the dialogue so far
    session.close()
    print(session.episode.outcome if session.episode else "nothing was played", args.out)


if __name__ == "__main__":
    main()
