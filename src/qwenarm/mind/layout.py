"""Prompts as chat templates write them: a checkpoint's own, or the family's published layout where none is at hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwenarm.mind.families import Dialect, Family
from qwenarm.types import Prompt

TOOL_WORDS: dict[Dialect, str] = {
    "json": """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>""",
    "xml": """\
# Tools

You have access to the following functions:

<tools>
{tools}
</tools>

Write calls like this, and nothing behind them:

<tool_call>
<function=example_function_name>
<parameter=example_parameter>
value
</parameter>
</function>
</tool_call>""",
}
"""How the families' layouts tell of tools; "{tools}" stands for them."""


def chat_text(writer: Any, template: str, prompt: Prompt, family: Family, **options: Any) -> str:
    """The prompt as a chat template writes it, images as one placeholder each. writer: a processor or a tokenizer.

    Tools go into the system text where the template knows none (Qwen2.5-VL).
    """
    if prompt.tools and not takes_tools(template):
        prompt = with_tools_in_text(prompt, family)
    return writer.apply_chat_template(
        list(prompt.messages),
        tools=list(prompt.tools) or None,
        chat_template=template,
        add_generation_prompt=True,
        tokenize=False,
        **options,
    )


def template_of(processor: Any) -> str:
    """A checkpoint's own chat template."""
    return str(processor.chat_template or processor.tokenizer.chat_template)


def takes_tools(template: str) -> bool:
    """Whether a chat template writes the tools it is given: whether it names them outside of its comments."""
    return re.search(r"\btools\b", re.sub(r"{#.*?#}", "", template, flags=re.DOTALL)) is not None


def with_tools_in_text(prompt: Prompt, family: Family) -> Prompt:
    """The prompt with its tools in the system text, for chat templates and servers that take none.

    Words and place are those of the family's own layout, so that a model meets what it was trained on: behind the
    system text where calls are JSON, before it where they are XML.
    """
    system, *rest = prompt.messages
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in prompt.tools)
    parts = [system["content"], TOOL_WORDS[family.dialect].format(tools=listed)]
    text = "\n\n".join(parts if family.dialect == "json" else parts[::-1])
    return replace(prompt, messages=({**system, "content": text}, *rest), tools=())


def layout_of(family: Family, thinking: bool = False) -> str:
    """The family's chat template, for where no checkpoint is at hand: the published layout, in own words."""
    own = f"{family.name}_thinking" if thinking and not family.thinking_switch else family.name
    folder = Path(str(files("qwenarm"))) / "assets" / "templates"
    path = folder / f"{own}.jinja"
    return (path if path.is_file() else folder / f"{family.name}.jinja").read_text(encoding="utf-8")
