"""The live view: one row per turn, a moving line on a terminal only, the outcome at the end."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console

from qwenarm.display.terminal import LiveView
from qwenarm.types import (
    Decision,
    Episode,
    FormatError,
    ImagePoint,
    Observation,
    Outcome,
    Proprio,
    SkillCall,
    SkillResult,
    Turn,
)

OBS = Observation((), Proprio(np.zeros(1), np.zeros(3), np.zeros(4), 0.0, False), "put it")
PICK = SkillCall("pick", {"at": ImagePoint(0.5, 0.5, "red cube")})
TURNS = (
    Turn(0, OBS, Decision(error=FormatError.BROKEN, detail="[bold]unclosed"), ()),
    Turn(
        1, OBS, Decision((PICK, SkillCall("done"))), (SkillResult(False, "out of reach by 4 cm"),), seconds={"model": 1}
    ),
)


def made(**parts: Any) -> Any:
    """A stand-in with just these attributes."""
    return SimpleNamespace(**parts)


def shown(terminal: bool, outcome: Outcome = Outcome.OUT_OF_TURNS) -> str:
    text = io.StringIO()
    view = LiveView(Console(file=text, force_terminal=terminal, width=100, highlight=False))
    view.started(
        made(setup=made(instruction="put [it] there", unjudged="no rule reads '[it]' :cat:"), arm="panda"), "vlm", 3
    )
    for turn in TURNS:
        view.looked(OBS)
        for call in turn.decision.calls:
            view.calling(call)
            view.stepped(made(time_s=1.5))
        view.turned(turn)
    view.finished(Episode("put", 1, "panda", "vlm", 3, "put it", TURNS, outcome, 0.0, "", detail="[red]boom"))
    return text.getvalue()


def test_a_pipe_gets_one_row_per_turn_without_escapes():
    lines = shown(terminal=False).splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[0].startswith("put [it] there") and "seed 3" in lines[0]
    assert lines[1] == "nobody will judge this: no rule reads '[it]' :cat:"
    text = "\n".join(lines)
    assert "broken tool call: [bold]unclosed" in text
    assert "pick red cube (0.50, 0.50): failed: out of reach" in text and "done: not run" in text and "1.00" in text
    assert "out of turns  after 2 turns" in lines[-1]


def test_a_terminal_says_what_is_happening_and_cleans_up():
    text = shown(terminal=True)
    assert "turn 3: looking" in text and "of the arm" in text.splitlines()[-1]
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_a_crash_shows_its_traceback():
    assert "[red]boom" in shown(terminal=False, outcome=Outcome.CRASHED)
