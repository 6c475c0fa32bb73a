"""The terminal while an episode is played: every turn leaves a row with its calls, results and seconds.

On a real terminal a last line moves and tells what is happening now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.table import Table
from rich.text import Text

from qwenarm.display.captions import (
    call_text,
    decision_text,
    outcome_color,
    pairs,
    result_text,
    short_call,
    side_effects_text,
)
from qwenarm.display.printable import without_controls
from qwenarm.episode.watchers import Watcher
from qwenarm.types import Episode, Observation, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

REFRESH_S = 0.1
TIME_COLUMNS = ("model", "physics", "render")
"""The parts of a turn's seconds that get a column; the page has them all."""
MAX_ROW_CHARS = 110
"""Maximum width of a row in characters: on a wider terminal the seconds stay near their calls."""
INSTRUCTION_GAP_CHARS = 3
"""Blanks between the instruction and who plays it, where both fit into a line."""
MIN_TERMINAL_CHARS_FOR_SECONDS = 72
"""A terminal of fewer columns is shown no seconds."""


class SafeConsole(Console):
    """A console for text that others wrote: no markup, no emoji codes, and no control characters but its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed; those that are no command of rich itself are cleaned."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=without_controls(segment.text))

    def out(self, *objects: Any, **how: Any) -> None:
        """Prints as it is, without wrapping; control characters are left out here, too."""
        super().out(*(without_controls(str(each)) for each in objects), **how)

    def warn(self, lines: Iterable[str]) -> None:
        """Prints each line in yellow."""
        for line in lines:
            self.print(line, style="yellow")

    def print_places(self, places: Mapping[str, object]) -> None:
        """Lines such as "film  runs/a/film.mp4", aligned. None is wrapped, so that paths stay whole."""
        column = max(map(len, places), default=0) + 2
        for what, where in places.items():
            self.print(f"{what:<{column}}{where}", soft_wrap=True)


class LiveView(Watcher):
    """Shows one episode at a time on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.status: Status | None = None
        self.turn, self.call, self.drawn = 1, "", 0.0

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self.turn = 1
        told, where = env.setup.instruction, f"{env.arm}, {policy_name}, seed {seed}"
        fits = cell_len(told) + INSTRUCTION_GAP_CHARS + len(where) <= self.console.width
        gap = " " * INSTRUCTION_GAP_CHARS if fits else "\n"
        self.console.print(Text.assemble((told, "bold"), gap, (where, "dim")))
        if env.setup.read_as:
            self.console.print(Text(f"read as: {env.setup.read_as}", style="dim"))
        if env.setup.unjudged:
            self.console.print(Text(f"nobody will judge this: {env.setup.unjudged}", style="yellow"))
        self.console.print(self._row("turn", Text("calls"), [f"{name} s" for name in TIME_COLUMNS]), style="dim")
        if self.console.is_terminal:
            self.status = self.console.status("setting the scene")
            self.status.start()

    def looked(self, obs: Observation) -> None:
        self._show("thinking")

    def calling(self, call: SkillCall) -> None:
        self.call = short_call(call)
        self._show(self.call)

    def stepped(self, body: Body) -> None:
        if perf_counter() - self.drawn > REFRESH_S:
            self._show(f"{self.call}   {body.time_s:.1f} s")

    def turned(self, turn: Turn) -> None:
        seconds = [f"{turn.seconds.get(name, 0.0):.2f}" for name in TIME_COLUMNS]
        self.console.print(self._row(str(turn.index + 1), _calls_text(turn), seconds))
        self.turn = turn.index + 2
        self._show("looking")

    def finished(self, episode: Episode) -> None:
        if self.status is not None:
            self.status.stop()
            self.status = None
        self.console.print(outcome_line(episode))

    def _show(self, doing: str) -> None:
        self.drawn = perf_counter()
        if self.status is not None:
            self.status.update(Text(f"turn {self.turn}: {doing}"))

    def _row(self, turn: str, calls: Text, seconds: list[str]) -> Table:
        """One line: turn, calls with results and, where there is room, seconds."""
        row = Table.grid(padding=(0, 2, 0, 0), expand=True)
        row.width = min(self.console.width, MAX_ROW_CHARS)
        row.add_column(justify="right", width=4)
        row.add_column(ratio=1)
        shown = seconds if self.console.width >= MIN_TERMINAL_CHARS_FOR_SECONDS else []
        for _ in shown:
            row.add_column(justify="right", width=9, style="dim")
        row.add_row(turn, calls, *shown)
        return row


def outcome_line(episode: Episode) -> Text:
    """How an episode ended, in one coloured line; then its side effects, or after a crash the traceback."""
    line = Text(str(episode.outcome), style=f"bold {outcome_color(episode.outcome)}")
    moved_s = sum(turn.sim_time_s for turn in episode.turns)
    turns = len(episode.turns)
    line.append(f"  after {turns} turn{'s' if turns != 1 else ''}, {moved_s:.1f} s of the arm")
    if episode.side_effects:
        line.append(f"\nwith side effects: {side_effects_text(episode.side_effects)}", style="yellow")
    if episode.outcome in ("crashed", "stuck"):
        line.append("\n" + episode.detail.strip(), style="red")
    return line


def _calls_text(turn: Turn) -> Text:
    """The calls of a turn with their results; of an unreadable answer, why."""
    if turn.decision.error:
        return Text(decision_text(turn.decision), style="red")
    text = Text()
    for number, (call, result) in enumerate(pairs(turn)):
        text.append("\n" if number else "").append(f"{call_text(call)}: ")
        text.append(result_text(result), style="dim" if result is None else "green" if result.ok else "red")
    return text or Text("no call", style="dim")
