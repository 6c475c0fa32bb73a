"""A model behind a URL: any server that speaks the OpenAI chat protocol (vLLM, SGLang, transformers serve, ...).

A batch of prompts is sent at once. What comes back is read as text, whether the server made tool calls of it or not.

How answers are kept well-formed (``constrain``), for servers differ:

* "structured": a grammar of this project's own (``structural_tag.py``) for the raw text, tools in the system text. The
  server's own tool parsers, which differ from version to version, take no part. vLLM 0.12 and SGLang.
* "required": ``tools`` with ``tool_choice: "required"``, for which most servers constrain an answer by the tools'
  schemas and parse it themselves. A model may not be able to think before the call then, and some servers make it write
  the call in another form than it was trained on.
* "off": ``tools`` alone, and whatever the model writes.

"auto" is "structured" where the server says that it is one of the two, else "off": transformers serve, for one, ignores
every kind of constraint without a word.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed, UnknownName
from qwenarm.mind.backends import _chat
from qwenarm.mind.backends._http import DOWN, Connection, complaint, run
from qwenarm.mind.constrained.structural_tag import structural_tag
from qwenarm.mind.families import DEFAULT, PUBLISHED, Family, family_named, published_id
from qwenarm.mind.prompt.chat_templates import with_tools_in_text
from qwenarm.mind.prompt.presets import preset_named
from qwenarm.types import Completion, Prompt

Constrain = Literal["auto", "structured", "required", "off"]
CONSTRAINTS: tuple[Constrain, ...] = ("auto", "structured", "required", "off")

OWN_KEY, COMMON_KEY = "QWENARM_API_KEY", "OPENAI_API_KEY"
HERE = ("localhost", "127.0.0.1", "[::1]")
REFUSALS = frozenset({400, 422, 501})  # how servers that are not set up for tools answer a request with tools
LOCKED, UNKNOWN = frozenset({401, 403}), 404
PATIENCE = 8
"""So many prompts one after the other that fail for good are the server's fault, not theirs."""
OLDEST_VLLM = (0, 12)
"""The first with ``structured_outputs``."""


class Remote:
    """One model of one server.

    url: the server's base, with or without "/v1". model: the name that the server knows; may be left out where it lists
    only one. family: a row of ``families.FAMILIES``; without it the listed id is looked up in ``families.PUBLISHED``,
    and failing that Qwen3-VL is assumed; ``describe`` says which. preset: how the model is asked. tools: "native" sends
    them as the protocol has it and falls back to "text", in the system message, when the server refuses; ``describe``
    says what was sent. constrain: see above. temperature: None for what suits the family. The rest: see
    ``_http.Connection``. The key comes from ``api_key``, from QWENARM_API_KEY, or, where the way is encrypted or does
    not leave this machine, from OPENAI_API_KEY. Raises ModelUnavailable when the server is down or does not serve the
    model.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        family: str | None = None,
        preset: str = "qwen",
        api_key: str | None = None,
        tools: Literal["native", "text"] = "native",
        constrain: Constrain = "auto",
        thinking: bool = False,
        temperature: float | None = None,
        seed: int = 0,
        timeout_s: float = 300.0,
        deadline_s: float = 900.0,
        retries: int = 4,
        backoff_s: float = 0.5,
        concurrency: int = 64,
    ) -> None:
        if constrain not in CONSTRAINTS:
            raise UnknownName("way to constrain", constrain, CONSTRAINTS)
        _check_address(url)
        for name, value, least in (
            ("concurrency", concurrency, 1),
            ("retries", retries, 0),
            ("temperature", temperature or 0.0, 0),
            ("timeout_s", timeout_s, 0.001),
            ("deadline_s", deadline_s, 0.001),
        ):
            if not least <= value < math.inf:
                raise BadInput(f"{name} of a server is at least {least:g} and finite, not {value}.")
        self.url = url.rstrip("/").removesuffix("/v1") + "/v1"
        self.tools, self.seed, self.preset = tools, seed, preset_named(preset)
        limits = {"timeout_s": timeout_s, "deadline_s": deadline_s, "retries": retries, "backoff_s": backoff_s}
        key = _key(self.url) if api_key is None else api_key
        self._line = Connection(self.url, key, concurrency=concurrency, **limits)
        self._answered, self._failed = False, 0
        try:
            self.name, listed = run(self._choose(model))
        except PromptFailed as failed:  # nothing was asked yet
            raise ModelUnavailable(str(failed)) from failed
        self.family, self.family_from = _family(family, listed)
        self.thinking = _only_thinks(listed) or (thinking and self.family.thinking_switch)
        if thinking and not self.thinking:
            raise BadInput(f"{self.name!r} was taken for {self.family.title}, which cannot be told to think.")
        self.sampling = self.family.sampling(self.thinking, temperature)
        self.root = str(listed.get("root") or self.name)
        self.server = str(listed.get("owned_by") or "")
        self.version = run(self._version()) if self.server == "vllm" else ""
        self.constrain = self._constraint() if constrain == "auto" else constrain

    def describe(self) -> Mapping[str, Any]:
        return {
            "model": self.name,
            **({"root": self.root} if self.root != self.name else {}),
            "url": self.url,
            "server": f"{self.server} {self.version}".strip(),
            "family": self.family.name,
            "family_from": self.family_from,
            "tools": "text" if self.constrain == "structured" else self.tools,
            "constrain": self.constrain,
            "temperature": self.sampling.temperature,
            "seed": self.seed,
            "thinking": self.thinking,
        }

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion | PromptFailed]:
        """A prompt that fails for good fails alone. But as long as the server has not answered any, or when it has
        failed many in a row, the fault is taken to be the server's, and ModelUnavailable is raised. An answer's seconds
        are those that it was waited for.
        """
        answers = run(self._all(prompts))
        for answer in answers:
            if isinstance(answer, ModelUnavailable):
                raise answer
        self._judge(answers)
        return answers

    async def _all(self, prompts: Sequence[Prompt]) -> list[Any]:
        async def one(prompt: Prompt) -> Completion | PromptFailed | ModelUnavailable:
            began = time.perf_counter()
            try:
                answer = await self._answer(prompt)
            except (PromptFailed, ModelUnavailable) as failed:
                return failed
            return replace(answer, seconds=time.perf_counter() - began)

        tasks = [asyncio.create_task(one(prompt)) for prompt in prompts]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # none goes on behind an error
                task.cancel()

    def _judge(self, answers: Sequence[Completion | PromptFailed]) -> None:
        failures = [answer for answer in answers if isinstance(answer, PromptFailed)]
        if len(failures) < len(answers):
            self._answered, self._failed = True, 0
            return
        self._failed += len(failures)
        if failures and (not self._answered or self._failed >= PATIENCE):
            raise ModelUnavailable(str(failures[0])) from failures[0]

    async def _choose(self, model: str | None) -> tuple[str, Mapping[str, Any]]:
        """The model's name on the server, and its entry in the listing.

        A listing need not be complete: transformers serve lists its cache, others no adapters, some have none. So a
        model that it does not name is tried.
        """
        response = await self._line.send("GET", f"{self.url}/models", retries=1)
        if response.status_code in LOCKED:
            raise self._locked(response)
        if response.is_success:
            entries = {str(entry["id"]): entry for entry in _chat.listed(response, self.url, "data") if "id" in entry}
        elif model is None:
            told = response.headers.get("Location") or complaint(response)
            raise ModelUnavailable(f"{self.url} answered GET /models with status {response.status_code}: {told}")
        else:
            entries = dict[str, dict[str, Any]]()
        served = ", ".join(entries) or "none"
        if model is None and len(entries) == 1:
            model = next(iter(entries))
        if model is None:
            raise ModelUnavailable(f"Say which model of {self.url} to use, as in URL#NAME. It lists: {served}.")
        if model not in entries:
            await self._try(model, served)
        return model, entries.get(model, {"id": model})

    async def _try(self, model: str, served: str) -> None:
        """Only a refusal tells: transformers serve, for one, fails at answers that it cannot parse, short ones among
        them.
        """
        question = {"model": model, "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
        response = await self._line.send("POST", f"{self.url}/chat/completions", question, retries=1)
        if response.status_code in REFUSALS | {UNKNOWN}:
            words = f"{self.url} does not serve {model!r}. It lists: {served}."
            raise ModelUnavailable(f"{words} It said: status {response.status_code}, {complaint(response)}")

    async def _version(self) -> str:
        response = await self._line.send("GET", f"{self.url.removesuffix('/v1')}/version", retries=1)
        try:
            return str(response.json()["version"])
        except (ValueError, KeyError, TypeError):
            return ""

    def _constraint(self) -> Constrain:
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])
        able = self.server == "sglang" or (self.server == "vllm" and numbers >= OLDEST_VLLM)
        return "structured" if able else "off"

    async def _answer(self, prompt: Prompt) -> Completion:
        tools = self.tools  # another prompt may teach meanwhile that the server takes none
        response = await self._post(prompt, tools)
        if response.status_code in REFUSALS and prompt.tools and tools == "native" and self.constrain == "off":
            again = await self._post(prompt, "text")
            if again.is_success:
                self.tools, response = "text", again
        if response.status_code in LOCKED:
            raise self._locked(response)
        if not response.is_success:
            kind = ModelUnavailable if response.status_code in DOWN | {UNKNOWN} else PromptFailed
            raise kind(f"{self.url} answered with status {response.status_code}: {complaint(response)}")
        choices = _chat.listed(response, self.url, "choices")
        if not choices:
            raise PromptFailed(f"{self.url} answered without any choice.")
        try:
            return self._completion(choices[0], response.json().get("usage") or {})
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise PromptFailed(f"{self.url} answered with a choice that is not of the OpenAI protocol.") from error

    def _locked(self, response: httpx.Response) -> ModelUnavailable:
        return ModelUnavailable(
            f"{self.url} answered with status {response.status_code}: {complaint(response)}. Its key goes into the "
            f"environment variable {OWN_KEY}."
        )

    async def _post(self, prompt: Prompt, tools: str) -> httpx.Response:
        body = await asyncio.to_thread(self._request, prompt, tools)  # packing the images takes its time
        return await self._line.send("POST", f"{self.url}/chat/completions", body)

    def _request(self, prompt: Prompt, tools: str) -> dict[str, Any]:
        asked = prompt
        if prompt.tools and (tools == "text" or self.constrain == "structured"):
            asked = with_tools_in_text(prompt, self.family)
        request = {"model": self.name, "messages": _chat.messages(asked), "max_tokens": prompt.max_tokens}
        if asked.tools:
            request["tools"] = list(asked.tools)
            request |= {"tool_choice": "required"} if self.constrain == "required" else {}
        elif prompt.tools and self.constrain == "structured":
            request |= self._structured(structural_tag(prompt, self.family))
        if self.family.thinking_switch:
            request["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        return request | dict(self._drawn())

    def _structured(self, tag: dict[str, Any]) -> dict[str, Any]:
        if self.server == "sglang":
            return {"response_format": tag}
        return {"structured_outputs": {"structural_tag": json.dumps(tag)}}

    def _drawn(self) -> Iterator[tuple[str, Any]]:
        """How answers are drawn. top_k is no part of the protocol; a server that does not know it may refuse it."""
        yield "temperature", self.sampling.temperature
        if self.sampling.temperature > 0:
            yield "seed", self.seed
            yield "top_p", self.sampling.top_p
            if self.sampling.presence_penalty:
                yield "presence_penalty", self.sampling.presence_penalty
            if self.sampling.top_k and self.server in ("vllm", "sglang"):
                yield "top_k", self.sampling.top_k

    def _completion(self, choice: Mapping[str, Any], usage: Mapping[str, Any]) -> Completion:
        finish = str(choice.get("finish_reason") or "stop")
        return Completion(
            text=_chat.text(choice["message"], self.family),
            tokens_in=int(usage.get("prompt_tokens") or 0),
            tokens_out=int(usage.get("completion_tokens") or 0),
            finish="stop" if finish in ("tool_calls", "function_call") else finish,
        )


def _check_address(url: str) -> None:
    """Raises BadInput for an address that holds more than where the server is, without repeating a password."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ModelUnavailable(f"{url!r} is not a valid URL: {error}.") from error
    if parts.username or parts.password:
        raise BadInput(
            "User and password in a URL would be written into every report. Put them into the environment variable "
            f"{OWN_KEY}: 'Basic' and a space before their base64 form."
        )
    if parts.query:
        raise BadInput(f"A server's URL ends before its '?'; a key goes into the environment variable {OWN_KEY}.")


def _key(url: str) -> str:
    """The user's key for this server. The common variable may hold the key of another service: it is not sent over an
    open line.
    """
    private = url.startswith(("https://", *(f"http://{host}{end}" for host in HERE for end in (":", "/"))))
    return (os.environ.get(OWN_KEY) or (os.environ.get(COMMON_KEY, "") if private else "")).strip()


def _family(named: str | None, listed: Mapping[str, Any]) -> tuple[Family, str]:
    """The family, and where it is known from."""
    if named is not None:
        return family_named(named), "given"
    if hub_id := _hub_id(listed):
        return family_named(PUBLISHED[hub_id]), f"the server's listing: {hub_id}"
    return family_named(DEFAULT), "assumed; give the family if the model is of another"


def _hub_id(listed: Mapping[str, Any]) -> str | None:
    """The published checkpoint behind a listed name: vLLM and SGLang give it as its root."""
    names = (str(listed[key]) for key in ("id", "root") if listed.get(key))
    return next((found for name in names if (found := published_id(name))), None)


def _only_thinks(listed: Mapping[str, Any]) -> bool:
    """Whether it is one of the checkpoints that are published as such."""
    return (_hub_id(listed) or "").endswith("-Thinking")
