"""A model behind a URL: any server that speaks the OpenAI chat protocol (vLLM, SGLang, transformers serve, ...)."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import httpx
import numpy as np
from PIL import Image

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.families import DEFAULT, PUBLISHED, Family, family_named
from qwenarm.mind.language import spell, with_tools_in_text
from qwenarm.mind.presets import QWEN
from qwenarm.types import Completion, Prompt

KEY_VARIABLE = "QWENARM_API_KEY"
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
REFUSALS = frozenset({400, 422, 501})  # how servers that are not set up for tools answer a request with tools
LONGEST_WAIT_S = 30.0


class Remote:
    """One model of one server. Greedy unless a temperature is given.

    url: the server's base, with or without "/v1". model: the name that the server lists; may be left out where it lists
    only one. family: a row of ``families.FAMILIES``; without it the listed id is looked up in ``families.PUBLISHED``,
    and failing that Qwen3-VL is assumed; ``describe`` says which. tools: "native" sends them as the protocol has it and
    falls back to "text", in the system message, when the server refuses; ``describe`` says what was sent. The key comes
    from ``api_key`` or from QWENARM_API_KEY. Raises ModelUnavailable when the server is down or does not serve the
    model.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        family: str | None = None,
        api_key: str | None = None,
        tools: Literal["native", "text"] = "native",
        thinking: bool = False,
        temperature: float = 0.0,
        seed: int = 0,
        timeout_s: float = 120.0,
        retries: int = 4,
        backoff_s: float = 0.5,
        concurrency: int = 8,
    ) -> None:
        url = url.rstrip("/")
        self.url = url if url.endswith("/v1") else f"{url}/v1"
        self.tools, self.thinking, self.temperature, self.seed = tools, thinking, temperature, seed
        self.retries, self.backoff_s, self.concurrency = retries, backoff_s, concurrency
        key = api_key or os.environ.get(KEY_VARIABLE, "")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s)),
        )
        self.preset = QWEN
        self.name, listed = self._choose(model)
        self.family, self.family_from = _family(family, listed)

    def describe(self) -> Mapping[str, Any]:
        return {
            "model": self.name,
            "url": self.url,
            "family": self.family.name,
            "family_from": self.family_from,
            "tools": self.tools,
            "temperature": self.temperature,
            "seed": self.seed,
            "thinking": self.thinking,
        }

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        began = time.perf_counter()
        with ThreadPoolExecutor(max_workers=max(1, min(self.concurrency, len(prompts)))) as pool:
            answers = list(pool.map(self._answer, prompts))
        share = (time.perf_counter() - began) / max(1, len(prompts))
        return [self._completion(answer, share) for answer in answers]

    def _choose(self, model: str | None) -> tuple[str, Mapping[str, Any]]:
        """The model's name on the server, and its entry in the listing."""
        response = self._send("GET", "/models", None, retries=1)
        if response.status_code == httpx.codes.NOT_FOUND and model:
            return model, {"id": model}  # a server without a listing
        entries = {str(entry["id"]): entry for entry in _body(response, self.url, "data") if "id" in entry}
        served = ", ".join(entries) or "none"
        if model is None and len(entries) == 1:
            model = next(iter(entries))
        if model is None:
            raise ModelUnavailable(f"Say which model of {self.url} to use. It serves: {served}.")
        if model not in entries:
            raise ModelUnavailable(f"{self.url} does not serve {model!r}. It serves: {served}.")
        return model, entries[model]

    def _answer(self, prompt: Prompt) -> Mapping[str, Any]:
        """The first choice, with "usage" beside it."""
        tools = self.tools  # another thread may learn meanwhile that the server takes none
        response = self._send("POST", "/chat/completions", self._request(prompt, tools), self.retries)
        if response.status_code in REFUSALS and prompt.tools and tools == "native":
            again = self._send("POST", "/chat/completions", self._request(prompt, "text"), self.retries)
            if again.is_success:
                self.tools, response = "text", again
        choices = _body(response, self.url, "choices")
        if not choices:
            raise ModelUnavailable(f"{self.url} answered without any choice.")
        return {**choices[0], "usage": response.json().get("usage") or {}}

    def _request(self, prompt: Prompt, tools: str) -> dict[str, Any]:
        if tools == "text" and prompt.tools:
            prompt = with_tools_in_text(prompt, self.family)
        request: dict[str, Any] = {
            "model": self.name,
            "messages": _messages(prompt),
            "max_tokens": prompt.max_tokens,
            "temperature": self.temperature,
        }
        if prompt.tools:
            request["tools"] = list(prompt.tools)
        if self.temperature > 0:
            request["seed"] = self.seed
        if self.family.thinking_switch:
            request["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        return request

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, retries: int) -> httpx.Response:
        """One request, repeated with growing pauses while the server is busy or out of reach."""
        for attempt in range(retries + 1):
            last = attempt == retries
            try:
                response = self._client.request(method, self.url + path, json=body)
            except httpx.TransportError as error:
                if last:
                    reason = str(error) or type(error).__name__
                    raise ModelUnavailable(f"No answer from {self.url}: {reason}. Is the server running?") from error
                time.sleep(self._pause(attempt, None))
                continue
            except httpx.InvalidURL as error:
                raise ModelUnavailable(f"{self.url!r} is not a valid URL: {error}.") from error
            if last or response.status_code not in RETRIED:
                return response
            time.sleep(self._pause(attempt, response.headers.get("Retry-After")))
        raise AssertionError("unreachable")

    def _pause(self, attempt: int, asked: str | None) -> float:
        """Seconds to wait: as the server asked, else doubling; jittered, so that a batch does not come back as one."""
        wished = float(asked) if asked and asked.isdigit() else self.backoff_s * 2**attempt
        return min(wished, LONGEST_WAIT_S) * random.uniform(1.0, 1.25)

    def _completion(self, choice: Mapping[str, Any], seconds: float) -> Completion:
        usage, finish = choice["usage"], str(choice.get("finish_reason") or "stop")
        return Completion(
            text=_text(choice.get("message") or {}, self.family),
            seconds=seconds,
            tokens_in=int(usage.get("prompt_tokens") or 0),
            tokens_out=int(usage.get("completion_tokens") or 0),
            finish="stop" if finish in ("tool_calls", "function_call") else finish,
        )


def _family(named: str | None, listed: Mapping[str, Any]) -> tuple[Family, str]:
    """The family, and where it is known from."""
    if named is not None:
        return family_named(named), "given"
    for key in ("id", "root"):  # vLLM and SGLang list the checkpoint behind a served name as its root
        if listed.get(key) in PUBLISHED:
            return family_named(PUBLISHED[str(listed[key])]), f"the server's listing: {listed[key]}"
    return family_named(DEFAULT), "assumed; give the family if the model is of another"


def _body(response: httpx.Response, url: str, key: str) -> list[dict[str, Any]]:
    """The objects listed under ``key`` of a good answer. Raises ModelUnavailable, with the server's words, else."""
    if not response.is_success:
        raise ModelUnavailable(f"{url} answered with status {response.status_code}: {_complaint(response)}")
    try:
        return [{**entry} for entry in response.json()[key]]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{url} does not speak the OpenAI protocol: no {key!r} in its answer.") from error


def _complaint(response: httpx.Response) -> str:
    try:
        content = response.json()
        error = content.get("error", content) if isinstance(content, dict) else content
        words = error.get("message", error) if isinstance(error, dict) else error
    except ValueError:
        words = response.text
    return " ".join(str(words).split())[:300] or "no reason given"


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The chat messages with their images in them."""
    images = iter(prompt.images)
    return [{**message, "content": _content(message["content"], images)} for message in prompt.messages]


def _content(content: Any, images: Any) -> Any:
    if isinstance(content, str):
        return content
    return [_image_part(next(images)) if part["type"] == "image" else part for part in content]


def _image_part(image: np.ndarray) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _text(message: Mapping[str, Any], family: Family) -> str:
    """A message as the model itself would have written it: thoughts in tags, calls in the family's dialect."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    parts = [f"<think>\n{thought}\n</think>\n"] if thought else []
    content = message.get("content") or ""
    parts.append(content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content))
    parts += [_call(call.get("function") or {}, family) for call in message.get("tool_calls") or []]
    return "\n".join(part for part in parts if part)


def _call(function: Mapping[str, Any], family: Family) -> str:
    name, arguments = str(function.get("name", "")), function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:  # broken JSON stays as the model wrote it, for ``parse`` to judge
            return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n</tool_call>'
    if isinstance(arguments, dict):
        return spell(name, arguments, family)
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
