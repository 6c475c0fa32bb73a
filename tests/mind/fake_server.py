"""A server in this process that speaks the OpenAI chat protocol, constrains answers, and fails in every way one can.

``answer`` makes a Reply of each chat request. By default that is what ``says`` lets the model write, held to the
grammar of the request as vLLM's ``structured_outputs`` and SGLang's ``response_format`` hold it. A structural tag means
here what xgrammar's documentation says that it means.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qwenarm.mind.backends._constraints import TRIAL_WORD

LISTED_MODELS = [
    {"id": "qwen", "root": "Qwen/Qwen3-VL-2B-Instruct"},
    {"id": "Qwen/Qwen2.5-VL-7B-Instruct"},
    {"id": "mine"},
]
POINT = {"label": "red cube", "point_2d": [512, 430]}
ARGUMENTS = {"at": POINT}
CALL = f'<tool_call>\n{{"name": "pick", "arguments": {json.dumps(ARGUMENTS)}}}\n</tool_call>'


@dataclass
class Reply:
    """What is sent back. wait_s: how long after the request. whole: False cuts the line in the middle of the body.

    pieces: of a body that is sent in chunks. pause_s: before each but the first.
    """

    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    whole: bool = True
    pieces: Sequence[bytes] = ()
    pause_s: float = 0.0


def said(content: Any = None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a good answer."""
    return {
        "choices": [{"message": {"content": content, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def called(name: str = "pick", arguments: Any = None, **message: Any) -> dict[str, Any]:
    """The body of an answer with a tool call that the server has parsed."""
    arguments = json.dumps(ARGUMENTS) if arguments is None else arguments
    function = {"name": name, "arguments": arguments}
    return said(tool_calls=[{"id": "1", "type": "function", "function": function}], **message)


def streamed(answer: dict[str, Any], size: int = 4) -> list[bytes]:
    """The body of a whole answer as server-sent events, its texts in pieces of so many characters."""

    def cut(text: str) -> list[str]:
        return [text[at : at + size] for at in range(0, len(text), size)]

    (choice,) = answer["choices"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name, text in choice["message"].items():
        if isinstance(text, str):
            deltas += [{name: piece} for piece in cut(text)]
    for index, call in enumerate(choice["message"].get("tool_calls", ())):
        function = call["function"]
        deltas.append(
            {"tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]}
        )
        pieces = cut(function["arguments"])
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}], "usage": None})
    chunks.append({"choices": [], "usage": answer["usage"]})
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]


class FakeServer:
    """Listens on a free port until it is closed.

    kind: what it says that it is, "vllm", "sglang" or nothing. enforces: the constraints that it keeps to when a
    ``trial`` asks for them; by default those of its kind. trials: the requests that were such.
    """

    def __init__(self, kind: str = "", version: str = "0.12.0") -> None:
        self.kind, self.version, self.key = kind, version, ""
        self.says: Callable[[dict[str, Any]], str] = lambda request: CALL
        self.answer: Callable[[dict[str, Any]], Reply | dict[str, Any]] = self.speak
        self.models: Reply = Reply(
            body={"data": [entry | ({"owned_by": kind} if kind else {}) for entry in LISTED_MODELS]}
        )
        self.requests: list[dict[str, Any]] = []
        self.trials: list[dict[str, Any]] = []
        self.enforces = {"structured"} if kind else set[str]()
        self.headers: list[dict[str, str]] = []
        self.left: list[float] = []
        """When each client that broke off was noticed, in the clock of time.monotonic."""
        self.busy = self.busiest = 0
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def speak(self, request: dict[str, Any]) -> dict[str, Any]:
        """The model's words, as the constraint of the request leaves them."""
        text = self.says(request)
        tag = request.get("response_format") if self.kind == "sglang" else None
        if self.kind == "vllm" and "structural_tag" in request.get("structured_outputs", {}):
            tag = json.loads(request["structured_outputs"]["structural_tag"])
        if tag is None or accepts(tag["format"], text):
            return said(text)
        return said(shortest(tag["format"]))

    def tried(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a trial of a constraint."""
        if "tools" in request:
            return called(TRIAL_WORD, "{}") if "required" in self.enforces else said("Hello!")
        if "json_schema" in request.get("response_format", {}):
            return said(json.dumps({"word": TRIAL_WORD}) if "json_schema" in self.enforces else "Hello!")
        return said(TRIAL_WORD if "structured" in self.enforces else "Hello!")

    def respond(self, method: str, path: str, request: dict[str, Any]) -> Reply:
        if self.key and self.headers[-1].get("Authorization") != f"Bearer {self.key}":
            return Reply(401, {"error": {"message": "Incorrect API key provided"}})
        if (method, path) == ("GET", "/v1/models"):
            return self.models
        if (method, path) == ("GET", "/version") and self.kind == "vllm":
            return Reply(body={"version": self.version})
        if (method, path) != ("POST", "/v1/chat/completions"):
            return Reply(404, {"detail": "Not Found"})
        if request["model"] not in [entry["id"] for entry in LISTED_MODELS]:
            return Reply(404, {"error": {"message": f"The model `{request['model']}` does not exist."}})
        answer = self.answer(request)
        return answer if isinstance(answer, Reply) else Reply(body=answer)

    def count(self, by: int) -> None:
        with self._lock:
            self.busy += by
            self.busiest = max(self.busiest, self.busy)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.headers.append(dict(self.headers))
                self.reply(outer.respond("GET", self.path, {}))

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.headers.append(dict(self.headers))
                if TRIAL_WORD in json.dumps(request):
                    outer.trials.append(request)
                    self.reply(Reply(body=outer.tried(request)))
                    return
                outer.requests.append(request)
                outer.count(+1)
                try:
                    self.reply(outer.respond("POST", self.path, request))
                finally:
                    outer.count(-1)

            def reply(self, reply: Reply) -> None:
                body = reply.body
                text = body if isinstance(body, str | bytes) else json.dumps(body)
                data = text.encode() if isinstance(text, str) else text
                if not self.stays(reply.wait_s):
                    return
                if reply.pieces:
                    self.send_pieces(reply)
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data if reply.whole else data[: len(data) // 2])
                self.close_connection = self.close_connection or not reply.whole

            def send_pieces(self, reply: Reply) -> None:
                self.send_response(reply.status)
                told = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
                for name, value in (told | reply.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                for number, piece in enumerate(reply.pieces):
                    if number and not self.stays(reply.pause_s):
                        return
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if reply.whole:
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = self.close_connection or not reply.whole

            def stays(self, wait_s: float) -> bool:
                """Waits; False if the client broke off meanwhile."""
                ends = time.monotonic() + wait_s
                self.connection.setblocking(False)
                try:
                    while time.monotonic() < ends:
                        try:
                            if self.connection.recv(1, socket.MSG_PEEK) == b"":
                                raise ConnectionResetError
                        except BlockingIOError:
                            time.sleep(0.005)
                except ConnectionResetError:
                    outer.left.append(time.monotonic())
                    self.close_connection = True
                    return False
                finally:
                    self.connection.setblocking(True)
                return True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def accepts(form: dict[str, Any], text: str) -> bool:
    """Whether the whole text is one that the format allows."""
    return len(text) in set(_ends(form, text, 0))


def _ends(form: dict[str, Any], text: str, at: int) -> Iterator[int]:
    """Where the format may end in the text if it begins at ``at``."""
    kind = form["type"]
    if kind == "const_string":
        yield from [at + len(form["value"])] if text.startswith(form["value"], at) else []
    elif kind == "regex":
        pattern = re.compile(form["pattern"])
        yield from (end for end in range(at, len(text) + 1) if pattern.fullmatch(text, at, end))
    elif kind == "json_schema":
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            return
        yield from [end] if _fits(form["json_schema"], value) else []
    elif kind == "or":
        yield from {end for element in form["elements"] for end in _ends(element, text, at)}
    elif kind == "sequence":
        ends = {at}
        for element in form["elements"]:
            ends = {after for end in ends for after in _ends(element, text, end)}
        yield from ends
    elif kind == "tag":
        yield from _ends({"type": "sequence", "elements": _parts(form)}, text, at)
    elif kind == "tags_with_separator":
        assert form["at_least_one"]
        for end in {end for tag in form["tags"] for end in _ends(tag, text, at)}:
            yield end
            if not form["stop_after_first"] and text.startswith(form["separator"], end):
                yield from _ends(form, text, end + len(form["separator"]))
    else:
        raise NotImplementedError(kind)


def _parts(tag: dict[str, Any]) -> list[dict[str, Any]]:
    begin, end = ({"type": "const_string", "value": tag[side]} for side in ("begin", "end"))
    return [begin, tag["content"], end]


def _fits(schema: dict[str, Any], value: Any) -> bool:
    """JSON Schema, as far as the tags use it."""
    assert schema.keys() <= {
        "type", "enum", "properties", "required", "additionalProperties",
        "prefixItems", "items", "minItems", "maxItems", "minimum", "maximum",
    }  # fmt: skip
    if schema["type"] == "string":
        return isinstance(value, str) and ("enum" not in schema or value in schema["enum"])
    if schema["type"] == "object":
        known = isinstance(value, dict) and set(schema["required"]) <= value.keys() <= schema["properties"].keys()
        return known and all(_fits(schema["properties"][key], part) for key, part in value.items())
    if schema["type"] == "array":
        right = isinstance(value, list) and len(value) == schema["minItems"] == schema["maxItems"]
        return right and all(_fits(side, number) for side, number in zip(schema["prefixItems"], value, strict=True))
    whole = isinstance(value, int) and not isinstance(value, bool)
    if schema["type"] == "integer":
        return whole and schema["minimum"] <= value <= schema["maximum"]
    return schema["type"] == "number" and (whole or isinstance(value, float))


def shortest(form: dict[str, Any]) -> str:
    """A text that the format allows: what a model is left with that wants none of it."""
    kind = form["type"]
    if kind == "const_string":
        return form["value"]
    if kind == "regex":
        return next(text for text in ("", "x") if re.fullmatch(form["pattern"], text))
    if kind == "json_schema":
        return json.dumps(_instance(form["json_schema"]))
    if kind == "or":
        return min(map(shortest, form["elements"]), key=len)
    parts = {
        "sequence": lambda: form["elements"],
        "tag": lambda: _parts(form),
        "tags_with_separator": lambda: form["tags"],
    }
    return "".join(map(shortest, parts[kind]()))


def _instance(schema: dict[str, Any]) -> Any:
    if schema["type"] == "object":
        return {key: _instance(schema["properties"][key]) for key in schema["required"]}
    if schema["type"] == "array":
        return [_instance(side) for side in schema["prefixItems"]]
    return schema["enum"][0] if "enum" in schema else "x" if schema["type"] == "string" else schema.get("minimum", 0)
