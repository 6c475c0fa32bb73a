"""The body of a request: what is asked, in which form, and how the answer is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qwenarm.mind.backends import _chat
from qwenarm.mind.backends._constraints import TOOLS_IN_TEXT, Constrain, constraint
from qwenarm.mind.families import Family, Sampling
from qwenarm.mind.prompt.chat_templates import with_tools_in_text, without_images
from qwenarm.types import Prompt


@dataclass(frozen=True)
class Form:
    """The form in which a server is asked. It may refuse the first of both.

    tools: "native", as the protocol has them, or "text", in the system message. extras: whether parameters are sent
    that not every server knows: without them it may add its own.
    """

    tools: Literal["native", "text"] = "native"
    extras: bool = True

    def simpler(self) -> list[Form]:
        """Simpler forms, in the order in which they are tried."""
        ways = [Form(tools, extras) for tools in ("native", "text") for extras in (True, False)]
        return [way for way in ways[ways.index(self) + 1 :] if self.extras or not way.extras]


@dataclass(frozen=True)
class RequestWriter:
    """Writes the requests to one model.

    server: what the server says that it is. images: whether the model takes any. thinking: whether it may think.
    """

    model: str
    family: Family
    sampling: Sampling
    seed: int
    server: str
    constrain: Constrain
    thinking: bool
    images: bool

    def body(self, prompt: Prompt, form: Form) -> dict[str, Any]:
        """The request for one answer."""
        asked = prompt if self.images else without_images(prompt)
        if prompt.tools and (form.tools == "text" or self.constrain in TOOLS_IN_TEXT):
            asked = with_tools_in_text(asked, self.family)
        request: dict[str, Any] = {
            "model": self.model,
            "messages": _chat.messages(asked),
            "max_tokens": prompt.max_tokens,
        }
        if asked.tools:
            request["tools"] = list(asked.tools)
        if prompt.tools and (asked.tools or self.constrain in TOOLS_IN_TEXT):
            request |= constraint(self.constrain, prompt, self.family, self.server)
        if self.family.thinking_switch:
            request["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        if form.extras and asked.tools and prompt.max_calls == 1:
            request["parallel_tool_calls"] = False
        if form.extras:
            request.update(self.extras())
        return request | dict(self._drawn())

    def _drawn(self) -> Iterator[tuple[str, Any]]:
        """How answers are drawn, as far as the protocol has words for it. All is said, since servers add what is left
        out from the checkpoint's generation_config.json.
        """
        yield "temperature", self.sampling.temperature
        yield "top_p", self.sampling.top_p
        yield "presence_penalty", self.sampling.presence_penalty
        if self.sampling.temperature > 0:
            yield "seed", self.seed

    def extras(self) -> Mapping[str, Any]:
        """How answers are drawn, in words that not every server knows."""
        no_limit = -1 if self.server in ("vllm", "sglang") else 0
        return {
            "top_k": self.sampling.top_k or no_limit,
            "min_p": 0.0,
            "repetition_penalty": self.sampling.repetition_penalty,
        }
