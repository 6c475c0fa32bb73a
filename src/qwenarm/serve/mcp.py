"""The arm as an MCP server: an outside agent looks at the table and calls the skills.

Every skill is a tool, with the schema that any model is given. Two more tools cost no call: ``observe`` shows the
cameras and the state again, ``next_episode`` starts the next scene. Whether the goal is reached is never told. There
is one arm: several clients share it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from qwenarm import __version__
from qwenarm.episode.trace import png
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.serve.access import LOOPBACK_HOSTS, access_token, guarded
from qwenarm.serve.session import AgentSession, Shown

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp.types import CallToolRequestParams, CallToolResult

T = TypeVar("T")
NO_ARGUMENTS = {"type": "object", "properties": {}}
OWN_TOOLS = {
    "observe": "Show what the cameras see now, the task, the last calls and the calls that are left. Costs no call.",
    "next_episode": "Start the next episode, after done or give_up or when no calls are left. Costs no call.",
}


class ArmTools:
    """The tools of one session. MuJoCo draws in one thread only, so all work is done in a thread of its own.

    Args:
        session: A session in which no episode has begun.
        first_seed: Seed of the first episode; each later one uses the next seed.
    """

    def __init__(self, session: AgentSession, first_seed: int) -> None:
        self._session, self._seeds = session, count(first_seed)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._thread.submit(session.begin, next(self._seeds)).result()
        self.instructions, self.skills = session.instructions(), session.tools()

    async def call(self, name: str, args: Mapping[str, Any]) -> Shown:
        """Carries out one tool. Raises BadInput when the episode is over, or is not over yet."""
        return await self._in_thread(lambda: self._call(name, args))

    def close(self) -> None:
        """Stores what was played."""
        self._thread.submit(self._session.close).result()
        self._thread.shutdown()

    def _call(self, name: str, args: Mapping[str, Any]) -> Shown:
        if name == "observe":
            return self._session.observe()
        return self._begin_next() if name == "next_episode" else self._session.call(name, args)

    def _begin_next(self) -> Shown:
        seed = next(self._seeds)
        try:
            return self._session.begin(seed)
        except BadInput:
            self._seeds = count(seed)  # the seed was not played, so it comes next
            raise

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def make_server(tools: ArmTools) -> Server[Any]:
    """The MCP server. Raises BadInput when the SDK is not installed."""
    sdk, types = _sdk("mcp.server"), _sdk("mcp.types")
    listed = [types.Tool(name=name, description=doc, input_schema=NO_ARGUMENTS) for name, doc in OWN_TOOLS.items()]
    for tool in tools.skills:
        skill = tool["function"]
        listed.append(
            types.Tool(name=skill["name"], description=skill.get("description"), input_schema=skill["parameters"])
        )

    async def list_tools(context: Any, params: Any) -> Any:
        return types.ListToolsResult(tools=listed)

    async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        try:
            shown = await tools.call(params.name, params.arguments or {})
        except QwenarmError as error:
            shown = Shown((str(error),), ok=False)
        return types.CallToolResult(content=list(_content(types, shown)), is_error=not shown.ok)

    return sdk.Server(
        "qwenarm",
        version=__version__,
        instructions=tools.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def serve_stdio(tools: ArmTools) -> None:
    """Serves one client over stdin and stdout until it leaves."""
    server, stdio = make_server(tools), _sdk("mcp.server.stdio")

    async def run() -> None:
        async with stdio.stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    asyncio.run(run())


def serve_http(tools: ArmTools, host: str, port: int) -> None:
    """Serves http://HOST:PORT/mcp until it is stopped.

    Raises:
        BadInput: Other machines could connect, and no token is set.
    """
    token = access_token(host)
    app = make_server(tools).streamable_http_app(host=host if host in LOOPBACK_HOSTS else "0.0.0.0")
    import_module("uvicorn").run(guarded(app, token), host=host, port=port, log_level="warning")


def _content(types: Any, shown: Shown) -> Iterator[Any]:
    """The parts as MCP content: text and PNG pictures."""
    for part in shown.parts:
        if isinstance(part, np.ndarray):
            data = base64.b64encode(png(part)).decode()
            yield types.ImageContent(type="image", data=data, mime_type="image/png")
        else:
            yield types.TextContent(type="text", text=part)


def _sdk(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise BadInput("The MCP server needs the official SDK: pip install 'qwenarm[mcp]'.") from error
