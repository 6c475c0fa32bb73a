"""Turns prompts into text with a chat template: the checkpoint's own, or the family's if there is no checkpoint."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.families import Dialect, Family
from qwenarm.types import Prompt

TEMPLATE_FILES = ("processor_config.json", "chat_template.json", "chat_template.jinja", "tokenizer_config.json")
"""Files that may hold a checkpoint's chat template. As in transformers, the first that has one is used."""

TOOLS_SECTION: dict[Dialect, str] = {
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

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested \
within <tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but \
NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do \
not tell the user about function calls
</IMPORTANT>""",
}
"""The description of tools in the families' chat templates, copied from the published checkpoints."""


def chat_text(writer: Any, template: str, prompt: Prompt, family: Family, **options: Any) -> str:
    """Returns the text of a prompt, with one placeholder per image.

    Args:
        writer: A processor or a tokenizer of transformers.
        template: The chat template. If it has no place for tools (Qwen2.5-VL), they go into the system message.
        prompt: The prompt.
        family: Determines how tools are described in the system message.
        options: Variables of the template, such as ``enable_thinking``.
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


def read_text(path: Path, source: str) -> str:
    """Returns the text of a checkpoint's file; messages call the checkpoint ``source``. Raises ModelUnavailable."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelUnavailable(f"{source!r} is not a checkpoint: it has no {path.name}.") from None
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path.name} of {source!r} cannot be read: {error}.") from error


def read_json(path: Path, source: str) -> dict[str, Any]:
    """Returns the JSON object in a checkpoint's file. Raises ModelUnavailable, also if it holds NaN or infinity."""
    try:
        content = json.loads(read_text(path, source), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{path.name} of {source!r} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{path.name} of {source!r} is not a JSON object.")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:40]} is not finite")
    return number


def template_in(folder: Path, source: str) -> tuple[str, str]:
    """Returns the template that transformers would use, and the name of the file. Raises ModelUnavailable."""
    for path in (folder / name for name in TEMPLATE_FILES):
        if not path.is_file():
            continue
        template = read_text(path, source) if path.suffix == ".jinja" else read_json(path, source)
        if isinstance(template, dict):
            template = _chosen(template.get("chat_template"))
        if template is not None and not template.strip():
            raise ModelUnavailable(f"The chat template in {path.name} of {source!r} is empty.")
        if template:
            return template, path.name
    raise ModelUnavailable(f"{source!r} has no chat template, so it cannot be talked to; take an Instruct model.")


def _chosen(found: Any) -> str | None:
    """Returns the chat template in the value of a JSON field, or None.

    The value is the template itself, or several as {name: text} or [{"name": ..., "template": ...}]. Of several,
    "default" is chosen, or else "tool_use".
    """
    if isinstance(found, list):
        found = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
    if isinstance(found, dict):
        found = found.get("default", found.get("tool_use"))
    return found if isinstance(found, str) else None


def takes_tools(template: str) -> bool:
    """Returns whether a chat template uses tools, ignoring its comments."""
    return re.search(r"\btools\b", re.sub(r"{#.*?#}", "", template, flags=re.DOTALL)) is not None


def with_tools_in_text(prompt: Prompt, family: Family) -> Prompt:
    """Returns the prompt with its tools in the system message, for chat templates and servers without tool support.

    As in the family's own template, they come after the system text for calls in JSON and before it for calls in XML.
    """
    system, *rest = prompt.messages
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in prompt.tools)
    parts = [system["content"], TOOLS_SECTION[family.dialect].format(tools=listed)]
    text = "\n\n".join(parts if family.dialect == "json" else parts[::-1])
    return replace(prompt, messages=({**system, "content": text}, *rest), tools=())


def without_images(prompt: Prompt) -> Prompt:
    """Returns the prompt for a text-only model: without the images and the camera names above them."""
    messages = tuple(
        message if isinstance(message["content"], str) else {**message, "content": _words(message["content"])}
        for message in prompt.messages
    )
    return replace(prompt, messages=messages, images=())


def _words(content: list[dict[str, Any]]) -> str:
    """Returns the text after the last image."""
    pictures = [place for place, part in enumerate(content) if part["type"] == "image"]
    behind = content[pictures[-1] + 1 :] if pictures else content
    return "".join(part["text"] for part in behind).strip()


def family_template(family: Family, thinking: bool = False) -> str:
    """Returns the family's chat template, modelled on the published one, for when there is no checkpoint."""
    own = f"{family.name}_thinking" if thinking and not family.thinking_switch else family.name
    folder = Path(str(files("qwenarm"))) / "assets" / "templates"
    path = folder / f"{own}.jinja"
    return (path if path.is_file() else folder / f"{family.name}.jinja").read_text(encoding="utf-8")
