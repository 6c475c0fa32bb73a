"""Turns a model's text into a Decision: the calls that it clearly made, or the reason why there are none.

``extract_calls`` finds calls in the text, in either dialect and within any other text. ``validate_call`` checks each
against its skill and turns its numbers into ImagePoints. Repairs that cannot change the meaning are made and noted
("box read as its centre"). Everything else is a FormatError with a sentence that the model can act on. No call is ever
invented: the name of a skill and both numbers of a point must be in the text.

An answer is read as far as possible. If one call was asked for, the first one counts. In a plan, the complete calls
before a broken one or a cut count, and nothing after ``done`` or ``give_up`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qwenarm.mind.coordinates import Size
from qwenarm.mind.families import Family
from qwenarm.mind.parsing.extract_calls import extract_calls
from qwenarm.mind.parsing.json_calls import RawCall
from qwenarm.mind.parsing.validate_call import BadCall, validate_call
from qwenarm.types import Decision, FormatError, SkillCall, SkillSpec

ENDING_SKILLS = ("done", "give_up")
"""Skills that end an episode, and so a plan."""

NOTE_FIRST_ONLY = "first of several calls taken"
NOTE_REPEATED = "repeated call counted once"
NOTE_AFTER_END = "calls after the end ignored"
NOTE_PARTIAL = "read as far as it could be"


def parse(
    text: str,
    specs: Sequence[SkillSpec],
    family: Family,
    sizes: Mapping[str, Size],
    *,
    max_calls: int | None = None,
    finish: str = "stop",
) -> Decision:
    """Returns the Decision in a model's answer. Never raises, whatever the text is.

    Args:
        text: The answer.
        specs: The skills that were offered.
        family: The model's family, which determines its coordinates.
        sizes: (H, W) of the frames by camera. A point without a camera lies in the first.
        max_calls: With 1, the first call is used. A plan with more calls than this is an error.
        finish: "length" if the backend cut the answer off.
    """
    found = extract_calls(text, [spec.name for spec in specs], cut=finish == "length")
    failed = Decision(thought=found.thought, raw=text, notes=found.notes)
    calls, notes = list[SkillCall](), list(found.notes)
    error, detail = found.error, found.detail
    for written in found.calls:
        try:
            call, repairs = validate_call(written, specs, family.codec, sizes)
        except BadCall as problem:
            error, detail = problem.error, str(problem)
            break
        calls.append(call)
        notes += repairs
        if max_calls == 1 or call.name in ENDING_SKILLS:
            break
    if error is not None and not calls:
        return _failure(failed, error, detail)
    if max_calls is not None and len(calls) > max_calls:
        detail = f"the answer had {len(calls)} calls; answer with at most {max_calls} calls"
        return _failure(failed, FormatError.TOO_MANY, detail)
    notes += _surplus(found.calls, len(calls), max_calls, error)
    return Decision(tuple(calls), found.thought, text, notes=tuple(dict.fromkeys(notes)))


def _surplus(written: Sequence[RawCall], kept: int, max_calls: int | None, error: FormatError | None) -> list[str]:
    """Returns notes about the part of an answer that was left out.

    Args:
        written: All calls in the answer.
        kept: The number of calls that count.
        max_calls: The number of calls that was asked for.
        error: Why the rest could not be read, or None.
    """
    if kept < len(written) and error is None:
        if max_calls != 1:
            return [NOTE_AFTER_END]
        return [NOTE_REPEATED if all(call == written[0] for call in written) else NOTE_FIRST_ONLY]
    return [NOTE_PARTIAL] if error is not None else []


def _failure(base: Decision, error: FormatError, detail: str) -> Decision:
    return Decision((), base.thought, base.raw, error, detail, base.notes)
