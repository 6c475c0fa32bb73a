"""The terminal while an episode is played: turn by turn, what was called and achieved, and where the seconds went.

On a real terminal one table grows in place; into a file or a pipe one line per turn is written.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from qwenarm.captions import decision_text, outcome_color, pairs, result_text, short_call
from qwenarm.types import Episode, Observation, SkillCall, Turn
from qwenarm.watching import Watcher

if TYPE_CHECKING:
    from qwenarm.body.body import Body
    from qwenarm.env import ArmEnv

SHOWN_TURNS = 12
"""Older turns scroll out of the table, so that it fits on a screen."""
REFRESH_S = 0.1
COLUMNS = ("model", "physics", "render", "other")


class LiveView(Watcher):
    """Shows one episode at a time on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.turns: list[Turn] = []
        self.doing, self.drawn = "", 0.0
        self.live: Live | None = None

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self.turns, self.doing = [], "setting the scene"
        title = Text.assemble(
            (env.setup.instruction, "bold"), (f"   {env.arm_name}, {policy_name}, seed {seed}", "dim")
        )
        self.console.print(title)
        if self.console.is_terminal:
            self.live = Live(self._view(), console=self.console, refresh_per_second=8, transient=True)
            self.live.start()

    def looked(self, obs: Observation) -> None:
        self._show("thinking")

    def calling(self, call: SkillCall) -> None:
        self._show(short_call(call))

    def stepped(self, body: Body) -> None:
        if perf_counter() - self.drawn > REFRESH_S:
            self._show(f"{self.doing.split('  ')[0]}  {body.time_s:.1f} s")

    def turned(self, turn: Turn) -> None:
        self.turns.append(turn)
        if self.live is None:
            self.console.print(Text.assemble(f"{turn.index + 1:>3}  ", _said(turn), ("  " + _timing(turn), "dim")))
        self._show("looking")

    def finished(self, episode: Episode) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
            if self.turns:
                self.console.print(self._table())
        self.console.print(outcome_line(episode))

    def _show(self, doing: str) -> None:
        self.doing, self.drawn = doing, perf_counter()
        if self.live is not None:
            self.live.update(self._view())

    def _view(self) -> Group:
        spinner = Spinner("dots", Text(f"turn {len(self.turns) + 1}: {self.doing}"))
        return Group(self._table(), spinner) if self.turns else Group(spinner)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("turn", justify="right")
        table.add_column("what it did", ratio=1)
        for name in COLUMNS:
            table.add_column(f"{name} s", justify="right", style="dim")
        for turn in self.turns[-SHOWN_TURNS:]:
            table.add_row(str(turn.index + 1), _said(turn), *(f"{_seconds(turn)[name]:.2f}" for name in COLUMNS))
        return table


def outcome_line(episode: Episode) -> Text:
    """How it ended, in one coloured line."""
    line = Text(str(episode.outcome), style=f"bold {outcome_color(episode.outcome)}")
    line.append(
        f"  after {len(episode.turns)} turns, {sum(turn.sim_time_s for turn in episode.turns):.1f} s of the arm"
    )
    if episode.outcome == "crashed":
        line.append("\n" + episode.detail.strip(), style="red")
    return line


def _said(turn: Turn) -> Text:
    """The calls of a turn with their results; of an unreadable answer, why."""
    if turn.decision.error:
        return Text(decision_text(turn.decision), style="red")
    text = Text()
    for number, (call, result) in enumerate(pairs(turn)):
        text.append("\n" if number else "").append(f"{short_call(call)}: ")
        text.append(result_text(result), style="dim" if result is None else "green" if result.ok else "red")
    return text or Text("no call", style="dim")


def _seconds(turn: Turn) -> dict[str, float]:
    seconds = {name: turn.seconds.get(name, 0.0) for name in COLUMNS}
    seconds["other"] += turn.seconds.get("skill", 0.0)
    return seconds


def _timing(turn: Turn) -> str:
    return ", ".join(f"{name} {value:.2f} s" for name, value in _seconds(turn).items())
