"""A model behind a URL: any server that speaks the OpenAI chat protocol (vLLM, SGLang, transformers serve, ...).

The prompts of a batch are sent at once. What comes back is read as text, whether or not the server parsed tool calls.

Servers differ in how they can keep answers well-formed (``constrain``):

* "structured": this project's own grammar (``constrained/structural_tag.py``) for the raw text, with the tools in the
  system text. The server's tool parsers, which differ from version to version, are not used. For vLLM 0.12 and SGLang.
* "required": ``tools`` with ``tool_choice: "required"``. Most servers then constrain the answer by the tools' schemas
  and parse it. A model may not be able to think before the call, and some servers make it write the call in another
  form than it was trained on.
* "off": only ``tools``; the model writes what it wants.

"auto" is "structured" for a server that says it is vLLM or SGLang, else "off": transformers serve, for one, silently
ignores every kind of constraint.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import httpx

from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed, UnknownName
from qwenarm.mind.backends import BackendEntry, _chat
from qwenarm.mind.backends._http import DOWN, Connection, complaint, parsed_json, run
from qwenarm.mind.backends._keys import OWN_KEY, check_url, key_for
from qwenarm.mind.constrained.structural_tag import structural_tag
from qwenarm.mind.families import DEFAULT_FAMILY, FAMILY_OF_HUB_ID, Family, family_named, match_hub_id
from qwenarm.mind.model_spec import SERVER_OPTIONS, URLS
from qwenarm.mind.prompt.chat_templates import with_tools_in_text
from qwenarm.mind.prompt.presets import preset_named
from qwenarm.registry import is_trusted_server
from qwenarm.types import Completion, Prompt

Constrain = Literal["auto", "structured", "required", "off"]
CONSTRAINTS: tuple[Constrain, ...] = ("auto", "structured", "required", "off")

REFUSES_TOOLS = frozenset({400, 422, 501})
"""How servers that are not set up for tools answer a request with tools."""
KEY_REFUSED, NOT_FOUND = frozenset({401, 403}), 404
MAX_FAILED_PROMPTS = 8
"""If so many prompts in a row fail for good, the server is to blame, not the prompts."""
FIRST_STRUCTURED_VLLM = (0, 12)
"""The first version with ``structured_outputs``."""


class OpenAIServer:
    """One model of one server.

    Args:
        url: the server's base, with or without "/v1".
        model: its name on the server; may be left out if the server lists only one.
        family: a name in ``families.FAMILIES``. By default the listed id is looked up in
            ``families.FAMILY_OF_HUB_ID``, and if it is unknown, Qwen3-VL is assumed; ``describe`` says which.
        preset: how prompts are made.
        api_key: by default from QWENARM_API_KEY, or, for https and for servers on this machine, OPENAI_API_KEY.
        tools: "native" sends them as the protocol has it, and falls back to "text", in the system message, if the
            server refuses; ``describe`` says which was sent.
        constrain: see above.
        thinking: lets a model think that has the choice.
        temperature: of sampling; by default what suits the family.
        seed: of sampling.
        timeout_s, deadline_s, retries, backoff_s, concurrency: see ``_http.Connection``.

    Raises:
        ModelUnavailable: the server is down, or does not serve the model.
        BadInput: an option is out of range.
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
        check_url(url)
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
        key = key_for(self.url) if api_key is None else api_key
        self._connection = Connection(self.url, key, concurrency=concurrency, **limits)
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
        """A prompt that fails for good fails alone. But if the server has not answered any yet, or has failed many in a
        row, the server is to blame, and ModelUnavailable is raised. The seconds of an answer are its waiting time.
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
            for task in tasks:  # after an error, none goes on
                task.cancel()

    def _judge(self, answers: Sequence[Completion | PromptFailed]) -> None:
        failures = [answer for answer in answers if isinstance(answer, PromptFailed)]
        if len(failures) < len(answers):
            self._answered, self._failed = True, 0
            return
        self._failed += len(failures)
        if failures and (not self._answered or self._failed >= MAX_FAILED_PROMPTS):
            raise ModelUnavailable(str(failures[0])) from failures[0]

    async def _choose(self, model: str | None) -> tuple[str, Mapping[str, Any]]:
        """The model's name on the server, and its entry in the server's list.

        The list may be incomplete (transformers serve lists its cache, others leave out adapters, some have no list),
        so a model that is not in it is tried.
        """
        response = await self._connection.send("GET", f"{self.url}/models", retries=1)
        if response.status_code in KEY_REFUSED:
            raise self._key_refused(response)
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
        """Raises ModelUnavailable if the server refuses the model. Other errors do not count: transformers serve, for
        one, fails at short answers, which it cannot parse.
        """
        question = {"model": model, "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
        response = await self._connection.send("POST", f"{self.url}/chat/completions", question, retries=1)
        if response.status_code in REFUSES_TOOLS | {NOT_FOUND}:
            words = f"{self.url} does not serve {model!r}. It lists: {served}."
            raise ModelUnavailable(f"{words} It said: status {response.status_code}, {complaint(response)}")

    async def _version(self) -> str:
        response = await self._connection.send("GET", f"{self.url.removesuffix('/v1')}/version", retries=1)
        try:
            return str(parsed_json(response)["version"])
        except (ValueError, KeyError, TypeError):
            return ""

    def _constraint(self) -> Constrain:
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])
        able = self.server == "sglang" or (self.server == "vllm" and numbers >= FIRST_STRUCTURED_VLLM)
        return "structured" if able else "off"

    async def _answer(self, prompt: Prompt) -> Completion:
        tools = self.tools  # may change meanwhile, when another prompt finds that the server takes none
        response = await self._post(prompt, tools)
        if response.status_code in REFUSES_TOOLS and prompt.tools and tools == "native" and self.constrain == "off":
            again = await self._post(prompt, "text")
            if again.is_success:
                self.tools, response = "text", again
        if response.status_code in KEY_REFUSED:
            raise self._key_refused(response)
        if not response.is_success:
            kind = ModelUnavailable if response.status_code in DOWN | {NOT_FOUND} else PromptFailed
            raise kind(f"{self.url} answered with status {response.status_code}: {complaint(response)}")
        choices = _chat.listed(response, self.url, "choices")
        if not choices:
            raise PromptFailed(f"{self.url} answered without any choice.")
        try:
            return self._completion(choices[0], parsed_json(response).get("usage") or {})
        except Exception as error:  # whatever a server may send costs this prompt and no other
            raise PromptFailed(f"{self.url} answered with a choice that breaks the OpenAI protocol.") from error

    def _key_refused(self, response: httpx.Response) -> ModelUnavailable:
        way = f"Its key goes into the environment variable {OWN_KEY}"
        if not is_trusted_server(self.url):
            way = (
                f"Only the recorded data names this server, so it was sent no key; if you trust it, --allow {self.url}"
            )
        return ModelUnavailable(
            f"{self.url} answered with status {response.status_code}: {complaint(response)}. {way}."
        )

    async def _post(self, prompt: Prompt, tools: str) -> httpx.Response:
        body = await asyncio.to_thread(self._request, prompt, tools)  # encoding the images takes time
        return await self._connection.send("POST", f"{self.url}/chat/completions", body)

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
        return request | dict(self._sampling())

    def _structured(self, tag: dict[str, Any]) -> dict[str, Any]:
        if self.server == "sglang":
            return {"response_format": tag}
        return {"structured_outputs": {"structural_tag": json.dumps(tag)}}

    def _sampling(self) -> Iterator[tuple[str, Any]]:
        """How answers are drawn. top_k is not part of the protocol, and other servers may refuse it."""
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
            tokens_in=_chat.token_count(usage.get("prompt_tokens")),
            tokens_out=_chat.token_count(usage.get("completion_tokens")),
            finish="stop" if finish in ("tool_calls", "function_call") else finish,
        )


def _family(named: str | None, listed: Mapping[str, Any]) -> tuple[Family, str]:
    """The family, and how it is known."""
    if named is not None:
        return family_named(named), "given"
    if hub_id := _hub_id(listed):
        return family_named(FAMILY_OF_HUB_ID[hub_id]), f"the server's listing: {hub_id}"
    return family_named(DEFAULT_FAMILY), "assumed; say which with family=... if that is wrong"


def _hub_id(listed: Mapping[str, Any]) -> str | None:
    """The published checkpoint behind a listed name; vLLM and SGLang list it as "root"."""
    names = (str(listed[key]) for key in ("id", "root") if listed.get(key))
    return next((found for name in names if (found := match_hub_id(name))), None)


def _only_thinks(listed: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint that always thinks."""
    return (_hub_id(listed) or "").endswith("-Thinking")


NAMES = {
    "http://localhost:8000": "an OpenAI-compatible server; #NAME chooses one of its models, and options may follow: "
    "http://localhost:8000#NAME,family=qwen3_5,thinking=yes",
}
BACKEND = BackendEntry(OpenAIServer, SERVER_OPTIONS, URLS)
