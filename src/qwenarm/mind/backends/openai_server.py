"""A model behind a URL: any server that speaks the OpenAI chat protocol (vLLM, SGLang, transformers serve, ...).

The prompts of a batch are sent at once. What comes back is read as text, whether or not the server parsed tool calls.
Where somebody listens, a prompt that is asked alone is answered as a stream, if the server can; the answer is the same.

Servers differ in how they can keep answers well-formed (``constrain``, see ``_constraints.py``), and in what they take.
"auto" tries once what the server enforces: "structured" on vLLM and SGLang, "json_schema" or "required" on others. A
server that refuses tools is sent them as text, and one that refuses parameters beyond the protocol is asked without.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import httpx

from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed, UnknownName
from qwenarm.mind.backends import BackendEntry, _chat
from qwenarm.mind.backends._constraints import (
    CONSTRAINT_KINDS,
    TOOLS_IN_TEXT,
    TRIED_CONSTRAINTS,
    Constrain,
    is_enforced,
    trial,
)
from qwenarm.mind.backends._http import (
    DOWN_STATUSES,
    REFUSAL_STATUSES,
    Connection,
    complaint,
    parsed_json,
    refuses,
    run,
)
from qwenarm.mind.backends._keys import check_url, key_for, key_refused
from qwenarm.mind.backends._listing import always_thinks, family_of, takes_images, with_pixel_limits
from qwenarm.mind.backends._request import Form, RequestWriter
from qwenarm.mind.backends._stream import STREAM_PARAMETERS, AnswerStream
from qwenarm.mind.model_spec import SERVER_OPTIONS, URL_PREFIXES
from qwenarm.mind.prompt.presets import preset_named
from qwenarm.typed import typed_arguments
from qwenarm.types import Completion, Prompt

KEY_REFUSED, NOT_FOUND = frozenset({401, 403}), 404
MAX_FAILED_PROMPTS_IN_A_ROW = 8
"""If so many prompts in a row fail for good, the server is to blame, not the prompts."""
FIRST_STRUCTURED_VLLM = (0, 12)
"""The first version with ``structured_outputs``."""


class OpenAIServer:
    """One model of one server.

    Args:
        url: the server's base, with or without "/v1".
        model: its name on the server; may be left out if the server lists only one.
        family: a name in ``families.MODEL_FAMILIES``. By default the listed id is looked up in
            ``families.FAMILY_OF_HUB_ID``, and if it is unknown, Qwen3-VL is assumed; ``describe`` says which.
        preset: how prompts are made.
        api_key: by default from QWENARM_API_KEY, or, for https and for servers on this machine, OPENAI_API_KEY.
        tools: "native" sends them as the protocol has it, and falls back to "text", in the system message, if the
            server refuses; ``describe`` says which was sent.
        constrain: how answers are kept well-formed; by default what the server is found to enforce.
        thinking: lets a model think that has the choice.
        images: whether the model takes any; by default what the listing says. Without, prompts are text alone.
        temperature, top_p, top_k, presence_penalty, repetition_penalty: of sampling; by default what suits the family.
        seed: of sampling.
        min_pixels, max_pixels: to which the server was told to resize images, for families that count pixels.
        timeout_s, deadline_s, retries, backoff_s, concurrency: see ``_http.Connection``.

    Raises:
        ModelUnavailable: the server is down, or does not serve the model.
        BadInput: an option is out of range.
    """

    on_text: Callable[[str], None] | None = None
    """See ``StreamingBackend``; called also while there are no words yet."""

    @typed_arguments
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
        images: bool | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        presence_penalty: float | None = None,
        repetition_penalty: float | None = None,
        seed: int = 0,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        timeout_s: float = 300.0,
        deadline_s: float = 900.0,
        retries: int = 4,
        backoff_s: float = 0.5,
        concurrency: int = 64,
    ) -> None:
        if constrain not in CONSTRAINT_KINDS:
            raise UnknownName("way to constrain", constrain, CONSTRAINT_KINDS)
        check_url(url)
        for name, value, least in (
            ("concurrency", concurrency, 1),
            ("retries", retries, 0),
            ("timeout_s", timeout_s, 0.001),
            ("deadline_s", deadline_s, 0.001),
        ):
            if not least <= value < math.inf:
                raise BadInput(f"{name} of a server is at least {least:g} and finite, not {value}.")
        self.url = url.rstrip("/").removesuffix("/v1") + "/v1"
        self._chat_url = f"{self.url}/chat/completions"
        self.form, self.preset, self._settled = Form(tools), preset_named(preset), False
        limits = {"timeout_s": timeout_s, "deadline_s": deadline_s, "retries": retries, "backoff_s": backoff_s}
        key = key_for(self.url) if api_key is None else api_key
        self._connection = Connection(self.url, key, concurrency=concurrency, **limits)
        self._answered, self._failed = False, 0
        self._streams: bool | None = None  # not known before it was tried
        self._stream: AnswerStream | None = None
        try:
            self.name, listed = run(self._choose(model))
        except PromptFailed as failed:  # nothing was asked yet
            raise ModelUnavailable(str(failed)) from failed
        self.family, self.family_from = family_of(family, listed)
        self.family = with_pixel_limits(self.family, min_pixels, max_pixels)
        self.thinking = always_thinks(listed) or (thinking and self.family.thinking_switch)
        if thinking and not self.thinking:
            raise BadInput(f"{self.name!r} was taken for {self.family.title}, which cannot be told to think.")
        self.sees = takes_images(listed) if images is None else images
        penalties = {"presence_penalty": presence_penalty, "repetition_penalty": repetition_penalty}
        drawn = self.family.sampling(self.thinking, temperature)
        self.sampling = drawn.chosen(temperature=temperature, top_p=top_p, top_k=top_k, **penalties)
        self.root = str(listed.get("root") or self.name)
        self.server = str(listed.get("owned_by") or "")
        self.version = run(self._version()) if self.server == "vllm" else ""
        self.constrain, self.enforced = run(self._constraint(constrain))
        self._writer = RequestWriter(
            self.name, self.family, self.sampling, seed, self.server, self.constrain, self.thinking, self.sees
        )

    def describe(self) -> Mapping[str, Any]:
        return {
            "model": self.name,
            **({"root": self.root} if self.root != self.name else {}),
            "url": self.url,
            "server": f"{self.server} {self.version}".strip(),
            "family": self.family.name,
            "family_from": self.family_from,
            "tools": "text" if self.constrain in TOOLS_IN_TEXT else self.form.tools,
            "constrain": self.constrain,
            "enforced": self.enforced,
            "sampling": asdict(self.sampling),
            "server_may_add": [] if self.form.extras else list(self._writer.extras()),
            "seed": self._writer.seed,
            "thinking": self.thinking,
            "images": self.sees,
        }

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion | PromptFailed]:
        """A prompt that fails for good fails alone. But if the server has not answered any yet, or has failed many in a
        row, the server is to blame, and ModelUnavailable is raised. The seconds of an answer are its waiting time.
        """
        on_text = self.on_text if len(prompts) == 1 else None
        self._stream = None
        if on_text is None:
            answers = run(self._all(prompts, listen=False))
        else:
            answers = run(self._all(prompts, listen=True), lambda: on_text(self._text_so_far()))
        for answer in answers:
            if isinstance(answer, ModelUnavailable):
                raise answer
        self._judge(answers)
        return answers

    def _text_so_far(self) -> str:
        stream = self._stream
        return "" if stream is None else _chat.text(self._connection.message_so_far(stream), self.family)

    async def _all(self, prompts: Sequence[Prompt], listen: bool) -> list[Any]:
        async def one(prompt: Prompt) -> Completion | PromptFailed | ModelUnavailable:
            began = time.perf_counter()
            try:
                answer = await self._answer(prompt, listen)
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
        if failures and (not self._answered or self._failed >= MAX_FAILED_PROMPTS_IN_A_ROW):
            raise ModelUnavailable(str(failures[0])) from failures[0]

    async def _choose(self, model: str | None) -> tuple[str, Mapping[str, Any]]:
        """The model's name on the server, and its entry in the server's list.

        The list may be incomplete (transformers serve lists its cache, others leave out adapters, some have no list),
        so a model that is not in it is tried.
        """
        response = await self._connection.send("GET", f"{self.url}/models", retries=1)
        if response.status_code in KEY_REFUSED:
            raise key_refused(self.url, f"status {response.status_code}: {complaint(response)}")
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
        response = await self._connection.send("POST", self._chat_url, question, retries=1)
        if response.status_code in REFUSAL_STATUSES | {NOT_FOUND}:
            words = f"{self.url} does not serve {model!r}. It lists: {served}."
            raise ModelUnavailable(f"{words} It said: status {response.status_code}, {complaint(response)}")

    async def _version(self) -> str:
        response = await self._connection.send("GET", f"{self.url.removesuffix('/v1')}/version", retries=1)
        try:
            return str(parsed_json(response)["version"])
        except (ValueError, KeyError, TypeError):
            return ""

    async def _constraint(self, asked: Constrain) -> tuple[Constrain, bool | None]:
        """The constraint that requests ask for, and whether the server enforces it (None: not known)."""
        if asked == "off":
            return asked, None
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])
        able = self.server == "sglang" or (self.server == "vllm" and numbers >= FIRST_STRUCTURED_VLLM)
        if self.thinking:  # it would answer a trial with a thought
            return ("structured" if able else "off", None) if asked == "auto" else (asked, None)
        if asked != "auto":
            return asked, await self._enforces(asked)
        ways: tuple[Constrain, ...] = ("structured", *TRIED_CONSTRAINTS) if able else TRIED_CONSTRAINTS
        for kind in ways:
            if await self._enforces(kind):
                return kind, True
        return "off", None

    async def _enforces(self, kind: Constrain) -> bool:
        """Whether the server keeps to a constraint that no model would keep to by itself."""
        request = {"model": self.name, **trial(kind, self.server)}
        try:
            response = await self._connection.send("POST", self._chat_url, request, retries=0)
            return response.is_success and is_enforced(kind, _chat.listed(response, self.url, "choices")[0]["message"])
        except (PromptFailed, LookupError, TypeError, AttributeError):  # it answers something else, or not at all
            return False

    async def _answer(self, prompt: Prompt, listen: bool) -> Completion:
        form = self.form  # may change meanwhile, when another prompt finds out what the server takes
        response = await self._post(prompt, form, listen)
        if refuses(response) and not self._settled:
            response = await self._ask_simpler(prompt, form, response, listen)
        self._settled = self._settled or response.is_success
        if response.status_code in KEY_REFUSED:
            raise key_refused(self.url, f"status {response.status_code}: {complaint(response)}")
        if not response.is_success:
            kind = ModelUnavailable if response.status_code in DOWN_STATUSES | {NOT_FOUND} else PromptFailed
            raise kind(f"{self.url} answered with status {response.status_code}: {complaint(response)}")
        choices = _chat.listed(response, self.url, "choices")
        if not choices:
            raise PromptFailed(f"{self.url} answered without any choice.")
        try:
            return self._completion(choices[0], parsed_json(response).get("usage") or {})
        except Exception as error:  # whatever a server may send costs this prompt and no other
            raise PromptFailed(f"{self.url} answered with a choice that breaks the OpenAI protocol.") from error

    async def _ask_simpler(self, prompt: Prompt, form: Form, refusal: httpx.Response, listen: bool) -> httpx.Response:
        """The response to the first simpler form that the server takes, which is kept; else its first refusal."""
        ways = [way for way in form.simpler() if way.tools == form.tools or prompt.tools]
        if "tool" in complaint(refusal).lower():
            ways.sort(key=lambda way: way.tools == "native")
        for way in ways:
            again = await self._post(prompt, way, listen)
            if again.is_success:
                self.form = way
                return again
        return refusal

    async def _post(self, prompt: Prompt, form: Form, listen: bool) -> httpx.Response:
        body = await asyncio.to_thread(self._writer.body, prompt, form)  # encoding the images takes time
        if not listen or self._streams is False:
            return await self._connection.send("POST", self._chat_url, body)
        response = await self._connection.send("POST", self._chat_url, body | STREAM_PARAMETERS, listen=self._hear)
        if self._streams or response.status_code in DOWN_STATUSES | KEY_REFUSED:
            return response
        self._streams = _chat.has_choices(response, self.url) or None
        if self._streams:
            return response
        whole = await self._connection.send("POST", self._chat_url, body)
        if _chat.has_choices(whole, self.url):
            self._streams = False  # it answers, and only as a whole
        return whole

    def _hear(self, stream: AnswerStream) -> None:
        self._stream = stream

    def _completion(self, choice: Mapping[str, Any], usage: Mapping[str, Any]) -> Completion:
        finish = str(choice.get("finish_reason") or "stop")
        return Completion(
            text=_chat.text(choice["message"], self.family),
            tokens_in=_chat.token_count(usage.get("prompt_tokens")),
            tokens_out=_chat.token_count(usage.get("completion_tokens")),
            finish="stop" if finish in ("tool_calls", "function_call") else finish,
        )


MODEL_NAMES = {
    "http://localhost:8000": "an OpenAI-compatible server; #NAME chooses one of its models, and options may follow: "
    "http://localhost:8000#NAME,family=qwen3_5,thinking=yes",
}
BACKEND = BackendEntry(OpenAIServer, SERVER_OPTIONS, URL_PREFIXES)
