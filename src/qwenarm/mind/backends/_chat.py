"""The OpenAI chat protocol: makes messages of prompts, and the text that the model wrote of responses."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
from PIL import Image

from qwenarm.errors import PromptFailed
from qwenarm.mind.backends._http import complaint, parsed_json
from qwenarm.mind.backends._stream import plain_text
from qwenarm.mind.families import Family
from qwenarm.mind.parsing.tolerant_json import Malformed, read_value
from qwenarm.mind.prompt.messages import call_text
from qwenarm.types import Prompt

PLAIN_NAME = re.compile(r"[\w.-]{1,64}")
"""A skill's name that no dialect can misread."""
MAX_TOKEN_COUNT = 10**9
"""No prompt and no answer has more tokens."""


def messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The chat messages of a prompt, with its images as data URIs."""
    images = iter(prompt.images)
    return [{**message, "content": _content(message["content"], images)} for message in prompt.messages]


def _content(content: Any, images: Iterator[np.ndarray]) -> Any:
    if isinstance(content, str):
        return content
    return [_image_part(next(images)) if part["type"] == "image" else part for part in content]


def _image_part(image: np.ndarray) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def listed(response: httpx.Response, url: str, key: str) -> list[dict[str, Any]]:
    """The objects under ``key`` of a response. Raises PromptFailed if it does not follow the protocol."""
    try:
        return [{**entry} for entry in parsed_json(response)[key]]
    except (ValueError, KeyError, TypeError) as error:
        words = f"{url} does not speak the OpenAI protocol: no {key!r} in its answer"
        raise PromptFailed(f"{words}, which says: {complaint(response)}") from error


def has_choices(response: httpx.Response, url: str) -> bool:
    """Whether a response is an answer."""
    try:
        return response.is_success and bool(listed(response, url, "choices"))
    except PromptFailed:
        return False


def text(message: Mapping[str, Any], family: Family) -> str:
    """A message as the model wrote it before the server parsed it: thoughts in tags, calls in the family's dialect.

    A server that looks for thoughts takes all that stands before </think> for one, so a model that leaves it out has
    its call there. Where nothing else was said, the thought is left open.
    """
    content = plain_text(message.get("content") or message.get("refusal"))
    calls = [call.get("function") or {} for call in message.get("tool_calls") or []]
    calls += [message["function_call"]] if message.get("function_call") else []  # an older version of the protocol
    spoken = [part for part in (content, *(_call(call, family) for call in calls)) if part.strip()]
    thought = message.get("reasoning_content") or message.get("reasoning")
    thoughts = [f"<think>\n{thought}" + ("\n</think>\n" if spoken else "")] if thought else []
    return "\n".join([*thoughts, *spoken])


def _call(function: Mapping[str, Any], family: Family) -> str:
    """A call as text. Where its name or an argument could be read as a tag, it is JSON, which has quotes."""
    name, arguments = str(function.get("name", "")), function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            if not _begins_with_value(arguments):  # then nothing behind it can be read as another call
                escaped = arguments.replace("<", "\\u003c")
                return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {escaped}}}\n</tool_call>'
    written = json.dumps({"name": name, "arguments": arguments})
    if isinstance(arguments, dict) and "<" not in written and PLAIN_NAME.fullmatch(name):
        return call_text(name, arguments, family)
    return "<tool_call>\n{}\n</tool_call>".format(written.replace("<", "\\u003c"))


def _begins_with_value(text: str) -> bool:
    try:
        read_value(text, 0)
    except Malformed:
        return False
    return True


def token_count(told: Any) -> int:
    """A number of tokens as a server tells it; 0 for none. Raises ValueError for what cannot be one."""
    count = float(told or 0)
    if not 0 <= count <= MAX_TOKEN_COUNT:
        raise ValueError(f"{told} is no number of tokens")
    return int(count)
