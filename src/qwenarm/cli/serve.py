"""The command that serves: the arm for an outside agent or trainer, or our agent for another simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import subcommand

from qwenarm.cli.listening import check_listening
from qwenarm.cli.options import Altitude, ArmName, Cameras, ClockName, Level, Model, Perturbed, Seed, Task, arg, out

if TYPE_CHECKING:
    from qwenarm.types import RunConfig

Host = Annotated[
    str,
    arg(
        metavar="ADDRESS", help="address to listen on; 0.0.0.0 lets in other machines, with the token in QWENARM_TOKEN"
    ),
]


@dataclass(frozen=True)
class ServedArm:
    """What an outsider plays."""

    task: Task = "put"
    level: Level = 1
    seed: Seed = 0
    arm: ArmName = "panda"
    words: Annotated[str, arg(metavar="WORDS", help="your own instruction; default: the task's")] = ""
    cameras: Cameras = ""
    perturbations: Perturbed = ""
    clock: ClockName = "paused"
    host: Host = "127.0.0.1"
    out_folder: Annotated[
        Path | None, arg(name="out", metavar="PATH", help="folder for the episodes; default: runs/TIME-PROTOCOL")
    ] = None

    def config(self) -> RunConfig:
        """The configuration of every episode. Raises BadInput."""
        from qwenarm.perturbations import parse
        from qwenarm.types import RunConfig

        perturbations = parse(self.perturbations)
        shown = {"cameras": self.cameras, "perturbations": perturbations, "clock": self.clock}
        return RunConfig(self.task, self.level, self.arm, words=self.words, **shown)


@dataclass(frozen=True)
class Mcp(ServedArm):
    """The arm as tools for an agent that speaks MCP, over stdin and stdout or over HTTP.

    Example: qwenarm serve mcp --task stack --http 8765
    """

    http: Annotated[
        int | None, arg(metavar="INT", help="port of an HTTP server; without it stdin and stdout are used")
    ] = None

    def run(self) -> None:
        """Serves until the client leaves or Ctrl-C."""
        from qwenarm.api.episodes import new_folder
        from qwenarm.serve.access import access_token
        from qwenarm.serve.mcp import ArmTools, serve_http, serve_stdio
        from qwenarm.serve.session import AgentSession

        access_token(self.host)
        if self.http is not None:
            check_listening(self.host, self.http)
        tools = ArmTools(AgentSession(self.config(), "mcp", self.out_folder or new_folder("mcp")), self.seed)
        try:
            serve_stdio(tools) if self.http is None else serve_http(tools, self.host, self.http)
        finally:
            tools.close()


@dataclass(frozen=True)
class OpenEnv(ServedArm):
    """The arm as an OpenEnv environment, whose actions are skill calls.

    Example: qwenarm serve openenv --task stack --port 8000
    """

    port: Annotated[int, arg(help="port to listen on")] = 8000
    sessions: Annotated[int, arg(help="how many clients may connect at the same time, each with its own arm")] = 8

    def run(self) -> None:
        """Serves until Ctrl-C."""
        from qwenarm.api.episodes import new_folder
        from qwenarm.errors import BadInput
        from qwenarm.serve.access import access_token

        access_token(self.host)
        check_listening(self.host, self.port)
        try:
            from qwenarm.serve.openenv import serve_openenv
        except ImportError as error:
            raise BadInput("The OpenEnv server needs OpenEnv: pip install 'qwenarm[openenv]'.") from error
        config, folder = self.config(), self.out_folder or new_folder("openenv")
        out.print(f"http://{self.host}:{self.port}  Ctrl-C ends it")
        serve_openenv(config, self.seed, folder, self.sessions, self.host, self.port)


@dataclass(frozen=True)
class ServePolicy:
    """Our agent behind openpi's websocket protocol, for an arm in another simulator.

    Example: qwenarm serve policy --model bundled --port 8000
    """

    model: Model = "bundled"
    altitude: Altitude = "step"
    arm: ArmName = "panda"
    cameras: Cameras = ""
    host: Host = "127.0.0.1"
    port: Annotated[int, arg(help="port to listen on")] = 8000

    def run(self) -> None:
        """Serves until Ctrl-C."""
        from qwenarm.mind.open_model import open_model
        from qwenarm.policies import Context, vlm
        from qwenarm.registry import load
        from qwenarm.serve.access import access_token
        from qwenarm.serve.policy import serve_policy
        from qwenarm.types import RunConfig

        access_token(self.host)
        check_listening(self.host, self.port)
        config = RunConfig(arm=self.arm, model=self.model, altitude=self.altitude, cameras=self.cameras)
        model = open_model(self.model)
        policy = vlm.make(Context(config, 0, model))
        out.print(f"ws://{self.host}:{self.port}  Ctrl-C ends it")
        serve_policy(policy, model, load("arms", self.arm), self.host, self.port)


def serve(
    how: Annotated[Mcp, subcommand(name="mcp", prefix_name=False)]
    | Annotated[OpenEnv, subcommand(name="openenv", prefix_name=False)]
    | Annotated[ServePolicy, subcommand(name="policy", prefix_name=False)],
) -> int:
    """Let others in: an agent (mcp) or a trainer (openenv) that drives the arm, or a simulator that our agent drives
    (policy).

    Example: qwenarm serve mcp --help
    """
    how.run()
    return 0
