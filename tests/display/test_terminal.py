"""The live view: a row per turn, a moving line on a terminal only, the outcome at the end, nobody else's controls."""

import io
import unicodedata
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.display.captions import call_text, short_call
from qwenarm.display.printable import without_controls
from qwenarm.display.terminal import LiveView, SafeConsole
from qwenarm.types import (
    Decision,
    Episode,
    FormatError,
    ImagePoint,
    Observation,
    Outcome,
    Proprio,
    RunConfig,
    RunInfo,
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
HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2K\rsuccess\u202e\x9b31m\x08"
"""Writes the clipboard, wipes a line, forges an outcome, reverses what follows, recolours, goes back."""


def made(**parts: Any) -> Any:
    """A stand-in with just these attributes."""
    return SimpleNamespace(**parts)


def shown(
    terminal: bool, outcome: Outcome = Outcome.OUT_OF_TURNS, width: int = 100, words: str = "put [it] there"
) -> str:
    text = io.StringIO()
    view = LiveView(SafeConsole(file=text, force_terminal=terminal, width=width))
    setup = made(instruction=words, read_as=f"[b]{words}", unjudged=f"no rule reads '{words}' :cat:")
    view.started(made(setup=setup, arm="panda"), "vlm", 3)
    for turn in TURNS:
        view.looked(OBS)
        for call in turn.decision.calls:
            view.calling(replace(call, args={"at": words}))
            view.stepped(made(time_s=1.5))
        view.turned(turn)
    view.finished(Episode(RunInfo(RunConfig(), 3), words, TURNS, outcome, 0.0, "", f"[red]boom {words}"))
    return text.getvalue()


def test_a_pipe_gets_one_row_per_turn_without_escapes():
    lines = shown(terminal=False).splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[0].startswith("put [it] there") and "seed 3" in lines[0]
    assert lines[1] == "read as: [b]put [it] there"
    assert lines[2] == "nobody will judge this: no rule reads 'put [it] there' :cat:"
    text = "\n".join(lines)
    assert "broken tool call: [bold]unclosed" in text
    assert "pick red cube (0.50, 0.50): failed: out of reach" in text and "done: not run" in text and "1.00" in text
    assert "out of turns  after 2 turns" in lines[-1]


def test_a_terminal_says_what_is_happening_and_cleans_up():
    text = shown(terminal=True)
    assert "turn 3: looking" in text and "of the arm" in text.splitlines()[-1]
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_a_call_says_what_is_handled_and_where_it_goes():
    bowl, cube = ImagePoint(0.74, 0.43, "blue bowl"), ImagePoint(0.5, 0.5, "red cube")
    assert short_call(SkillCall("pick", {"at": cube})) == "pick red cube"
    assert call_text(SkillCall("place", {"at": bowl})) == "place at blue bowl (0.74, 0.43)"
    assert short_call(SkillCall("push", {"at": cube, "to": bowl})) == "push red cube to blue bowl"
    assert short_call(SkillCall("place", {"at": ImagePoint(0.5, 0.5)})) == "place"
    assert call_text(SkillCall("action_chunk:EE_DELTA", {"actions": [[0.0] * 7] * 8})) == "play 8 actions"


@pytest.mark.parametrize(("width", "same_line"), [(100, True), (24, False)])
def test_who_plays_stands_behind_the_instruction_or_on_a_line_of_its_own(width, same_line):
    lines = [line.rstrip() for line in shown(terminal=False, width=width, words="把红色方块放进").splitlines()]
    assert ("panda, vlm, seed 3" in lines) is not same_line


def test_a_crash_shows_its_traceback():
    assert "[red]boom" in shown(terminal=False, outcome=Outcome.CRASHED)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_calls_can_be_read_at_any_width(width):
    lines = shown(terminal=False, width=width).splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    assert "pick red cube (0.50, 0.50)" in " ".join(shown(terminal=False, width=width).split())


@pytest.mark.parametrize("outcome", [Outcome.OUT_OF_TURNS, Outcome.CRASHED])
def test_what_others_wrote_commands_no_terminal(outcome):
    """Everything but rich's own colours and cursor moves is the same as with the text alone."""
    cleaned = shown(terminal=True, outcome=outcome, words=without_controls(HOSTILE))
    text = shown(terminal=True, outcome=outcome, words=HOSTILE)
    assert "]52;" in text and "\x1b]" not in text and "\x07" not in text and "\u202e" not in text and "\x9b" not in text
    assert text == cleaned


@given(st.text())
def test_no_control_character_is_left_and_nothing_else_is_lost(text):
    clean = without_controls(text)
    assert without_controls(clean) == clean
    assert "".join(c for c in text if c.isprintable()) == "".join(c for c in clean if c.isprintable())
    for printing in (SafeConsole.out, SafeConsole.print):
        out = io.StringIO()
        printing(SafeConsole(file=out, width=80), text)
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in out.getvalue().replace("\n", ""))
