"""Answers that a server sends while the model writes them: server-sent events, put together into the answer that the
same server sends as a whole.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

STREAM_PARAMETERS = {"stream": True, "stream_options": {"include_usage": True}}
MEDIA_TYPE = "text/event-stream"
TEXT_FIELDS = ("content", "refusal", "reasoning_content", "reasoning")
"""Fields of a message that come in pieces."""


class AnswerStream:
    """One answer, as far as it has come. One thread may feed it while another one reads its message.

    Only the first choice counts. An event that breaks the protocol ends the answer, and stands in its place.
    """

    def __init__(self) -> None:
        self._line, self._data = bytearray(), list[bytes]()
        self._texts, self._calls = defaultdict[str, list[str]](list), dict[Any, dict[str, list[str]]]()
        self._usage: Any = None
        self._finish, self._done, self._chosen, self._instead = "", False, False, b""

    def feed(self, content: bytes) -> None:
        """Takes the next bytes of the stream, wherever they were cut."""
        self._line += content
        if b"\n" not in content:
            return
        *lines, self._line = self._line.split(b"\n")
        for line in lines:
            self._take_line(bytes(line.rstrip(b"\r")))

    def message(self, trim: Callable[[str], str] = str) -> dict[str, Any]:
        """The message so far, in the protocol's form. trim: what is left of each of its texts."""
        calls = [
            {"function": {name: trim("".join(parts)) for name, parts in call.items()}}
            for call in list(self._calls.values())
        ]
        texts = {name: trim("".join(self._texts[name])) for name in TEXT_FIELDS if name in self._texts}
        return {"content": None, **texts, **({"tool_calls": calls} if calls else {})}

    def answer(self) -> bytes | None:
        """The body of the whole answer, or of the error that came instead; None if the stream broke off before."""
        for line in (bytes(self._line), b""):  # the last event may lack its empty line
            self._take_line(line)
        self._line.clear()
        if self._instead:
            return self._instead
        if not self._done and not self._finish:
            return None
        choices = [{"message": self.message(), "finish_reason": self._finish}] if self._chosen else []
        return json.dumps({"choices": choices, "usage": self._usage}).encode()

    def _take_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
        if line or not self._data:
            return
        event = b"\n".join(self._data).strip()
        self._data.clear()
        if event == b"[DONE]":
            self._done = True
        elif event and not self._instead:
            try:
                self._take_event(json.loads(event), event)
            except Exception:  # whatever a server may send
                self._instead = event

    def _take_event(self, event: Mapping[str, Any], written: bytes) -> None:
        if "choices" not in event:
            self._instead = written  # an error, or nothing that the protocol knows
            return
        self._usage = event.get("usage") or self._usage
        for choice in event["choices"]:
            if choice.get("error"):
                self._instead = written
            if choice.get("index", 0) == 0:
                self._chosen = True
                self._take_delta(choice.get("delta") or choice.get("message") or {})
                self._finish = str(choice.get("finish_reason") or self._finish)

    def _take_delta(self, delta: Mapping[str, Any]) -> None:
        for name in TEXT_FIELDS:
            if piece := plain_text(delta.get(name)):
                self._texts[name].append(piece)
        for call in delta.get("tool_calls") or []:
            self._take_call(self._place(call), call.get("function") or {})
        if delta.get("function_call"):  # an older version of the protocol
            self._take_call("function_call", delta["function_call"])

    def _place(self, call: Mapping[str, Any]) -> Any:
        """Which call a piece belongs to. Some servers leave the index out; there, an id begins a new call."""
        if call.get("index") is not None:
            return call["index"]
        return next(reversed(self._calls)) if self._calls and not call.get("id") else len(self._calls)

    def _take_call(self, place: Any, function: Mapping[str, Any]) -> None:
        call = self._calls.setdefault(place, {"name": [], "arguments": []})
        name, arguments = str(function.get("name") or ""), function.get("arguments")
        if name and call["name"] != [name]:  # some servers repeat it in every piece
            call["name"].append(name)
        if arguments:
            call["arguments"].append(arguments if isinstance(arguments, str) else json.dumps(arguments))


def plain_text(piece: Any) -> str:
    """Returns the text of a message's field, which may also be a list of parts; "" for none."""
    if piece is None or isinstance(piece, str):
        return piece or ""
    return "".join(str(part.get("text", "")) for part in piece)
