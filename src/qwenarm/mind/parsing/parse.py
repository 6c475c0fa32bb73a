"""Turns a model's text into a Decision: the calls that it plainly made, or the named reason why there are none.

``extract_calls`` finds calls in the text, in either dialect, whatever stands around them. ``validate_call`` checks each
against its skill and turns its numbers into ImagePoints. Repairs that cannot change what was meant are made and noted
("box read as its centre"). Everything else is a FormatError with a sentence that the model can act on. No call is ever
invented: the name of a skill and both numbers of a point must be in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qwenarm.mind.coordinates import Size
from qwenarm.mind.families import Family
from qwenarm.mind.parsing.extract_calls import extract_calls
from qwenarm.mind.parsing.validate_call import BadCall, validate_call
from qwenarm.types import Decision, FormatError, SkillSpec


def parse(
    text: str,
    specs: Sequence[SkillSpec],
    family: Family,
    sizes: Mapping[str, Size],
    *,
    max_calls: int | None = None,
    finish: str = "stop",
) -> Decision:
    """The Decision in a model's answer. Never raises, whatever the text.

    Args:
        text: the answer.
        specs: the skills that were offered.
        family: how the model counts along an image.
        sizes: camera -> (H, W) of the frames that the model saw; a point that names no camera lies in the first.
        max_calls: more calls than this are an error.
        finish: "length" if the backend cut the answer off.
    """
    found = extract_calls(text, [spec.name for spec in specs], cut=finish == "length")
    failed = Decision(thought=found.thought, raw=text, notes=found.notes)
    if found.error is not None:
        return _failure(failed, found.error, found.detail)
    if max_calls is not None and len(found.calls) > max_calls:
        wanted = "one call" if max_calls == 1 else f"at most {max_calls} calls"
        return _failure(failed, FormatError.TOO_MANY, f"the answer had {len(found.calls)} calls; answer with {wanted}")
    notes, calls = list(found.notes), []
    for written in found.calls:
        try:
            call, repairs = validate_call(written, specs, family.codec, sizes)
        except BadCall as problem:
            return _failure(failed, problem.error, str(problem))
        calls.append(call)
        notes += repairs
    return Decision(tuple(calls), found.thought, text, notes=tuple(dict.fromkeys(notes)))


def _failure(base: Decision, error: FormatError, detail: str) -> Decision:
    return Decision((), base.thought, base.raw, error, detail, base.notes)
