"""Finds the calls in a model's text: in tags, in XML, in a code fence, or as bare JSON in prose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from qwenarm.mind.parsing.json_calls import NOTE_SHAPE, WRAPPER_KEYS, RawCall, as_calls, unquoted
from qwenarm.mind.parsing.quoted_tags import hide_quoted_tags, reveal
from qwenarm.mind.parsing.tolerant_json import Incomplete, Malformed, read_value
from qwenarm.types import FormatError

MAX_CHARS = 40_000
MAX_BARE_CALL_STARTS = 64
"""Maximum number of places in prose that are tried as the start of a bare call."""

NOTE_TOLERANT = "loose JSON read"
NOTE_UNTAGGED = "call outside of tool_call tags"
NOTE_UNCLOSED = "closing tag or brace missing"
NOTE_REPEATED_KEY = "argument given twice, last one taken"
NOTE_OPEN_THOUGHT = "thought not closed before the call"

_TOOL_CALL_BLOCK = re.compile(r"<tool_call>(.*?)(</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_FUNCTION_TAG = re.compile(
    r"<function(?:=|\s+name=)[\"']?([^>\"'\s]{0,64})[\"']?\s*>(.*?)(</function>|(?=<function[=\s])|\Z)", re.DOTALL
)
_PARAMETER_TAG = re.compile(
    r"<parameter(?:=|\s+name=)[\"']?([^>\"'\s]{0,64})[\"']?\s*>(.*?)(</parameter\b>?|(?=<parameter[=\s])|\Z)", re.DOTALL
)
_THINK_TAG = re.compile(r"<think(?:ing)?>")
_END_THINK_TAG = re.compile(r"</think(?:ing)?>")
_CODE_FENCE = re.compile(r"```\w*")
_END_OF_TURN = re.compile(r"<\|im_end\|>|<tool_response>")
"""Whatever follows one of these is the model's own continuation of the conversation, and is ignored."""
_LINE_WITH_WORDS = re.compile(r"[^\n]*[^\W\d_][^\n]*")
"""Words on a single line."""
_GOES_ON = re.compile(r"`{0,3}[ \t]+[a-z]")
"""A sentence that goes on behind a call, in small letters on the same line."""
_ADVISED_AGAINST = re.compile(
    r"(?:(?:\bnot|\bnever|n't|n’t)\s+(?:call|make|write|use|output|say|(?:answer|reply) with)\b"
    r"|(?:不要|不能|别)\w{0,4})\W{0,6}\Z",
    re.I,
)
"""What leads up to a call that is not to be made: "do not call {...}"."""
_SURROUNDING_FENCE = re.compile(r"\A\s*(?:```\w*)?\s*|\s*(?:```)?\s*\Z")
"""A code fence around a whole text, with blanks."""
_UNFINISHED_LIST = re.compile(r"\[|\{[^\[\]{}]*\"(?:" + "|".join(WRAPPER_KEYS) + r")\"\s*:\s*[\[{]")
"""The start of calls inside a list or an object. If the list is cut off, its complete calls count."""


class Bare(str):
    """A parameter's value in the XML dialect. It has no quotes, so it may be text or a number."""

    __slots__ = ()


@dataclass
class Extraction:
    """What was found in a text. If ``error`` says why reading stopped, ``calls`` are the complete ones before it."""

    thought: str = ""
    calls: list[RawCall] = field(default_factory=list)
    error: FormatError | None = None
    detail: str = ""
    notes: tuple[str, ...] = ()

    def fail(self, error: FormatError, detail: str) -> None:
        """Records an error, unless there already is one."""
        if self.error is None:
            self.error, self.detail = error, detail

    def note(self, repair: str) -> None:
        """Records a repair, once."""
        if repair not in self.notes:
            self.notes += (repair,)


def extract_calls(text: str, names: Sequence[str], cut: bool) -> Extraction:
    """Returns the calls in a text, in order.

    Args:
        text: A model's answer.
        names: The names of the skills.
        cut: Whether the answer was cut off, so that its end means nothing.
    """
    found, cut = Extraction(), cut or len(text) > MAX_CHARS
    thought, rest, still_thinking = _split_thought(hide_quoted_tags(text[:MAX_CHARS]))
    rest = _END_OF_TURN.split(rest, maxsplit=1)[0]
    found.thought = thought
    if not text.strip():
        found.fail(FormatError.EMPTY, "the answer was empty; answer with a tool call")
    elif still_thinking and cut:
        found.fail(FormatError.TRUNCATED, "the answer ended while still thinking; think less, then make the call")
    else:
        _read_rest(rest, names, cut, found)
    if still_thinking and found.error is FormatError.NO_CALL:
        found.detail = "the answer was only thought; make the call after </think>"
    elif still_thinking:
        found.note(NOTE_OPEN_THOUGHT)
    found.thought, found.calls = reveal(found.thought), [RawCall(reveal(c.name), reveal(c.args)) for c in found.calls]
    return found


def _read_rest(text: str, names: Sequence[str], cut: bool, found: Extraction) -> None:
    """Reads the part after the thought, whatever form its calls have."""
    if "<tool_call>" in text:
        _read_tagged(text, names, cut, found)
    elif "<function" in text and _FUNCTION_TAG.search(text):
        found.note(NOTE_UNTAGGED)
        _read_xml(text, False, found)
        found.thought = _join(found.thought, _FUNCTION_TAG.sub("", text))
        _refuse_sentence([function.span() for function in _FUNCTION_TAG.finditer(text)], text, found)
    else:
        _read_bare(text, names, cut, found)


def _split_thought(text: str) -> tuple[str, str, bool]:
    """Returns the thought, the rest, and whether the thought never ended.

    The <think> may be part of the prompt. An unfinished thought may contain the call, so its text stays in the rest.
    """
    ends = [end.end() for end in _END_THINK_TAG.finditer(text)]
    thought, rest = (text[: ends[-1]], text[ends[-1] :]) if ends else ("", text)
    unended = _THINK_TAG.search(rest) is not None
    return _THINK_TAG.sub("", _END_THINK_TAG.sub("", thought)).strip(), _THINK_TAG.sub("", rest), unended


def _join(*parts: str) -> str:
    return "\n".join(part.strip() for part in parts if part.strip())


def _read_tagged(text: str, names: Sequence[str], cut: bool, found: Extraction) -> None:
    found.thought = _join(found.thought, _TOOL_CALL_BLOCK.sub("", text).replace("</tool_call>", ""))
    for block in _TOOL_CALL_BLOCK.finditer(text):
        if found.error is not None:
            return
        body, closed = block.group(1), block.group(2) == "</tool_call>"
        if not body.strip():
            kind = FormatError.BROKEN if closed or not cut else FormatError.TRUNCATED
            found.fail(kind, "a tool_call was empty; write the name and the arguments in it")
        elif "<function" in body:
            _read_xml(body, closed, found)
        else:
            _read_json_block(body, names, closed, found)
        if not closed:
            found.note(NOTE_UNCLOSED)


def _read_json_block(body: str, names: Sequence[str], closed: bool, found: Extraction) -> None:
    """Reads the JSON values of a tagged block, each of which must be a call."""
    body = _SURROUNDING_FENCE.sub("", body)
    if body.startswith("{{"):  # some copies of the chat templates double the braces of the example call
        found.note(NOTE_TOLERANT)
        body = body[1:]
    at = _first_opener(body, 0)
    if at < 0:
        found.fail(FormatError.BROKEN, 'a tool_call held no JSON object; write {"name": ..., "arguments": {...}}')
    while at >= 0:
        try:
            value, at = _read_repairing(body, at, closed, found)
        except Incomplete:
            kind = FormatError.BROKEN if closed else FormatError.TRUNCATED
            found.fail(kind, "a tool_call ended before its JSON was complete; answer more briefly")
            return
        except Malformed as error:
            found.fail(FormatError.BROKEN, f"a tool_call was not valid JSON: {error}")
            return
        calls = as_calls(value, names, found.note)
        if not calls:
            found.fail(FormatError.BROKEN, 'a tool_call named no skill; write {"name": ..., "arguments": {...}}')
            return
        found.calls += calls
        at = _first_opener(body, at)


def _read_repairing(body: str, at: int, closed: bool, found: Extraction) -> tuple[Any, int]:
    """Returns a value and the index after it. If a closing tag shows that only braces are missing, they are added."""
    try:
        value, end, strict = read_value(body, at)
    except Incomplete as problem:
        if not (closed and problem.open_braces):
            raise
        found.note(NOTE_UNCLOSED)
        value, _, strict = read_value(body + "}" * problem.open_braces, at)
        end = len(body)
    if not strict:
        found.note(NOTE_TOLERANT)
    return value, end


def _read_xml(text: str, closed: bool, found: Extraction) -> None:
    """Reads the functions of a block. ``closed`` says that the block ends with its tag."""
    functions = list(_FUNCTION_TAG.finditer(text))
    if not functions:
        found.fail(FormatError.BROKEN, "a tool_call held no complete <function=NAME>")
    for function in functions:
        if function.group(3) != "</function>":
            if function.end() == len(text) and not closed:  # more parameters may have been cut off
                found.fail(FormatError.TRUNCATED, "the answer ended inside of a function; answer more briefly")
                return
            found.note(NOTE_UNCLOSED)
        body = function.group(2)
        parts = list(_PARAMETER_TAG.finditer(body))
        args: Any = {part.group(1): _xml_value(part.group(2), found) for part in parts}
        if len(args) < len(parts):
            found.note(NOTE_REPEATED_KEY)
        if not args and body.strip():  # the arguments are a JSON object
            found.note(NOTE_SHAPE)
            args = unquoted(body)
        found.calls.append(RawCall(function.group(1), args))


def _xml_value(text: str, found: Extraction) -> Any:
    """Returns a parameter's value: parsed if it looks like JSON, otherwise as text."""
    text = text.strip()
    if not text or text[0] not in '{["(':
        return Bare(text)
    try:
        value, end, strict = read_value(text, 0)
    except Malformed:
        return Bare(text)
    if text[end:].strip():
        return Bare(text)
    if not strict:
        found.note(NOTE_TOLERANT)
    return value


def _read_bare(text: str, names: Sequence[str], cut: bool, found: Extraction) -> None:
    """Reads bare or fenced JSON in prose. Only objects that name a skill count as calls."""
    prose, at, last, begun = [], _first_opener(text, 0), 0, False
    spans: list[tuple[int, int]] = []
    for _ in range(MAX_BARE_CALL_STARTS):
        if at < 0 or begun:
            break
        try:
            value, end, strict = read_value(text, at)
        except Malformed as problem:
            names_skill = isinstance(problem, Incomplete) and any(f'"{name}"' in text[at:] for name in names)
            begun = names_skill and _UNFINISHED_LIST.match(text, at) is None
            at = _first_opener(text, at + 1)
            continue
        calls = as_calls(value, names, found.note)
        if calls:
            found.calls += calls
            prose.append(text[last:at])
            spans.append((at, end))
            last = end
            if not strict:
                found.note(NOTE_TOLERANT)
        at = _first_opener(text, end)
    found.thought = _join(found.thought, _CODE_FENCE.sub("", "".join([*prose, text[last:]])))
    before = _UNFINISHED_LIST.sub("", _CODE_FENCE.sub("", prose[0])).strip() if prose else ""
    _refuse_sentence(spans, text, found)
    _judge_bare(names, begun, cut and (before != "" or not found.calls), found)


def _refuse_sentence(spans: Sequence[tuple[int, int]], text: str, found: Extraction) -> None:
    """Rejects untagged calls inside of a sentence: then the model talks about calls and makes none."""
    gaps = [text[end:start] for (_, end), (start, _) in pairwise(spans)]
    if (
        any(_LINE_WITH_WORDS.fullmatch(gap) for gap in gaps)
        or any(_GOES_ON.match(text, end) for _, end in spans)
        or any(_ADVISED_AGAINST.search(text[max(0, start - 40) : start]) for start, _ in spans)
    ):
        found.calls.clear()
        found.fail(
            FormatError.NO_CALL, "the answer speaks of calls in a sentence; write the one that you mean as a tool_call"
        )


def _judge_bare(names: Sequence[str], begun: bool, doubtful: bool, found: Extraction) -> None:
    """Records what is wrong with a text of bare calls.

    Args:
        names: The names of the skills.
        begun: The text ends inside a call.
        doubtful: The answer was cut off and does not begin with a call, so the model may still have been thinking.
        found: What has been read so far.
    """
    if found.calls and not doubtful:
        found.note(NOTE_UNTAGGED)
    else:
        found.calls.clear()
    if begun:
        found.fail(FormatError.TRUNCATED, "the answer ended before the call was complete; answer more briefly")
    elif doubtful:
        found.fail(FormatError.TRUNCATED, "the answer was cut off before any call; answer with the call at once")
    elif not found.calls:
        found.fail(FormatError.NO_CALL, f"the answer held no tool call; call one of: {', '.join(names)}")


def _first_opener(text: str, start: int) -> int:
    places = [place for char in "{[｛" if (place := text.find(char, start)) >= 0]
    return min(places, default=-1)
