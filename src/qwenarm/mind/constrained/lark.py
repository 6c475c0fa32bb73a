"""What a model may answer, as a grammar: exactly the calls that its tools allow, in its family's spelling.

The grammar is made from the tools of a prompt and the sizes of its frames, in the Lark dialect of llguidance. Each call
is written by ``messages.call_text`` with placeholders for its values, so that names, keys and brackets are what the
model was shown, and most of a call is forced. The model chooses the skill, the words (of bounded length), the numbers
(inside the frame) and the camera. ``parse`` reads such a call without repairs.

What may precede the first call depends on what the chat template tells the model:

* JSON (Qwen2.5-VL, Qwen3-VL): nothing. Template and prompt ask for the call, and these models begin with it.
* XML (Qwen3.5 and later): bounded prose. The template invites reasoning before a call, and forbids it after one.
* After an opened <think>: thoughts are free (``inference/answer.py``), and the grammar begins after </think>.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import product
from typing import Any

from qwenarm.mind.coordinates import Size
from qwenarm.mind.families import Family
from qwenarm.mind.prompt.messages import call_text
from qwenarm.types import Prompt

LABEL_CHARS = 64
"""Maximum length of a point's label."""
TEXT_CHARS = 200
"""Maximum length of any other text: a reason, or something to say."""
PROSE_CHARS = 400
"""Maximum length of prose before a call."""

TOOL_CALL_TAGS = ("<tool_call>", "</tool_call>")
THOUGHT_END = "</think>"
# No line breaks and tags, and quotes only as JSON escapes, so that a string reads back as itself in both dialects. Bare
# text in XML must not begin like JSON either; what does is written as a JSON string.
_TEXT_CHAR = r'[^"\\<>\x00-\x1f\x7f-\x9f\u2028\u2029]'
_TEXT_CHAR_OR_ESCAPE = rf'({_TEXT_CHAR}|\\["\\])'
_FIRST_TEXT_CHAR = r'[^"\\<>\x00-\x20\x7f-\xa0\u2028\u2029{}\[\]()]'
_NUMBER_PATTERNS = {"integer": "/-?(0|[1-9][0-9]{0,5})/", "number": r"/-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?/"}
_TAG_OR_PLACEHOLDER = re.compile(r'(</?tool_call>|"?@\d+@"?)')


def available() -> bool:
    """Returns whether llguidance is installed (extra ``constrained``)."""
    return find_spec("llguidance") is not None


class Grammars:
    """Makes a matcher for each answer. Compiled grammars are cached, because prompts differ only in tools and frame
    sizes.

    Args:
        tokenizer: A fast tokenizer of transformers.
        size: Number of the model's logits.
        stops: Ids that end an answer.
        family: How calls are written.
    """

    def __init__(self, tokenizer: Any, size: int, stops: Iterable[int], family: Family) -> None:
        from llguidance import LLTokenizer

        self.vocabulary = LLTokenizer(tokenizer.backend_tokenizer.to_str(), n_vocab=size, eos_token=sorted(stops))
        self.family = family
        self._tags = {tag: self._tag_rule(tokenizer.convert_tokens_to_ids(tag), tag) for tag in TOOL_CALL_TAGS}
        self._compiled = lru_cache(maxsize=32)(self._compile)

    def matcher(self, prompt: Prompt, thinking: bool) -> Any:
        """Returns a fresh LLMatcher for an answer to a prompt with tools. If ``thinking``, it starts after </think>."""
        sizes = tuple((image.shape[0], image.shape[1]) for image in prompt.images)
        return self._compiled(json.dumps(prompt.tools), sizes, prompt.max_calls, thinking).deep_copy()

    def _compile(self, tools: str, sizes: tuple[Size, ...], max_calls: int, thinking: bool) -> Any:
        from llguidance import LLMatcher

        text = lark(json.loads(tools), sizes, self.family, max_calls=max_calls, thinking=thinking, tags=self._tags)
        if complaint := LLMatcher.validate_grammar(text, self.vocabulary):
            raise ValueError(f"The grammar of these tools is invalid: {complaint}\n{text}")
        return LLMatcher(self.vocabulary, text)

    def _tag_rule(self, token: int | None, tag: str) -> str:
        """Returns a tag as a rule: one special token, which no text can spell, or else plain text."""
        single = token is not None and self.vocabulary.is_special_token(token)
        return f"<[{token}]>" if single else json.dumps(tag)


def lark(
    tools: Sequence[Mapping[str, Any]],
    sizes: Sequence[Size],
    family: Family,
    *,
    max_calls: int = 1,
    thinking: bool = False,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Returns the grammar of an answer.

    Args:
        tools: Functions in OpenAI's format.
        sizes: (H, W) of the frames, those of the cameras first, in their order.
        family: How calls are written, and numbers are counted.
        max_calls: Maximum number of calls.
        thinking: The answer begins after </think>.
        tags: The rules of the two tags around a call; plain text by default.
    """
    tags = tags or {tag: json.dumps(tag) for tag in TOOL_CALL_TAGS}
    before = '"\\n\\n" ' if thinking else "PROSE? " if family.dialect == "xml" else ""
    more = f' ("\\n" call){{0,{max_calls - 1}}}' if max_calls > 1 else ""
    spans = [family.codec.span(size) for size in sizes]
    calls = "\n    | ".join(line for tool in tools for line in _calls(tool["function"], spans, family, tags))
    return f"start: {before}call{more}\ncall: {calls}\nPROSE: /[^<]{{1,{PROSE_CHARS}}}/\n"


def _calls(
    function: Mapping[str, Any], spans: Sequence[tuple[int, int]], family: Family, tags: Mapping[str, str]
) -> Iterator[str]:
    """Yields every way to call a function: with and without optional parameters, for each camera's range of numbers."""
    parameters, placeholders = function["parameters"], _Placeholders()
    ways = []
    for name, schema in parameters["properties"].items():
        left_out = [] if name in parameters["required"] else [None]
        ways.append([*placeholders.values(schema, spans), *left_out])
    for values in product(*ways):
        named = zip(parameters["properties"], values, strict=True)
        given = {name: value for name, value in named if value is not None}
        text = call_text(function["name"], given, family)
        yield " ".join(placeholders.rule(part, tags) for part in _TAG_OR_PLACEHOLDER.split(text) if part)


class _Placeholders:
    """Placeholders for the values of a call while it is written: "@3@" is replaced by the rule with that index."""

    def __init__(self) -> None:
        self._rules: list[tuple[str, str]] = []

    def values(self, schema: Mapping[str, Any], spans: Sequence[tuple[int, int]]) -> list[Any]:
        """Returns values for a schema with placeholders for what is open; several if cameras have their own ranges."""
        if "point_2d" in schema.get("properties", {}):
            return self._points(schema["properties"], spans)
        if "enum" in schema:
            return [self._choice(schema["enum"])]
        if rule := _NUMBER_PATTERNS.get(schema["type"]):
            return [self._placeholder(rule, rule)]
        quoted = _quoted(TEXT_CHARS, _TEXT_CHAR_OR_ESCAPE)
        return [self._placeholder(quoted, f"(/{_FIRST_TEXT_CHAR}{_TEXT_CHAR}{{0,{TEXT_CHARS - 1}}}/ | {quoted})")]

    def rule(self, part: str, tags: Mapping[str, str]) -> str:
        """Returns one part of a call as a rule: a tag, a placeholder (quoted or bare), or constant text."""
        if part in tags:
            return tags[part]
        if placeholder := re.fullmatch(r'("?)@(\d+)@"?', part):
            quoted, bare = self._rules[int(placeholder.group(2))]
            return quoted if placeholder.group(1) else bare
        return json.dumps(part)

    def _points(self, keys: Mapping[str, Any], spans: Sequence[tuple[int, int]]) -> list[Any]:
        cameras = keys["camera"]["enum"] if "camera" in keys else [""]
        label, points = self._placeholder(_quoted(LABEL_CHARS)), []
        shown = dict(zip(cameras, spans, strict=False))  # frames without a camera come last
        for span in dict.fromkeys(shown.values()):
            point: dict[str, Any] = {"label": label, "point_2d": [self._placeholder(_up_to(full)) for full in span]}
            if len(cameras) > 1:
                point["camera"] = self._choice([camera for camera, own in shown.items() if own == span])
            points.append(point)
        return points

    def _choice(self, choices: Sequence[Any]) -> str:
        return self._placeholder(
            *(f"({' | '.join(json.dumps(form(choice)) for choice in choices)})" for form in (json.dumps, str))
        )

    def _placeholder(self, quoted: str, bare: str = "") -> str:
        self._rules.append((quoted, bare))
        return f"@{len(self._rules) - 1}@"


def _quoted(most: int, character: str = _TEXT_CHAR) -> str:
    return f'"\\"" /{character}{{1,{most}}}/ "\\""'


def _up_to(full: int) -> str:
    """Returns a pattern for the whole numbers from 0 to ``full``."""
    digits = str(full)
    shorter = ["[0-9]", *(f"[1-9][0-9]{{{more}}}" for more in range(1, len(digits) - 1))] if full > 9 else []
    same = [
        f"{digits[:place]}[{int(place == 0 < len(digits) - 1)}-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if int(digit) > int(place == 0 and len(digits) > 1)
    ]
    return f"/{'|'.join([*shorter, *same, digits])}/"
