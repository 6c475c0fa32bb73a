"""Tools stand in the text as the family's own layout writes them, whether the template takes them or not."""

import jinja2
import pytest

from qwenarm.mind.families import MODEL_FAMILIES, family_named
from qwenarm.mind.prompt.chat_templates import chat_text, family_template, takes_tools
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import QWEN_PRESET

every_family = pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)


class Writer:
    """What chat_text asks of a tokenizer."""

    def apply_chat_template(self, messages, tools, chat_template, add_generation_prompt, tokenize, **options):
        environment = jinja2.Environment(autoescape=False)
        environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}
        text = environment.from_string(chat_template).render(
            messages=messages, tools=tools, add_generation_prompt=add_generation_prompt, **options
        )
        for char, escaped in zip("<>&'", ("\\u003c", "\\u003e", "\\u0026", "\\u0027"), strict=True):
            text = text.replace(escaped, char)
        return text


def without_tools(template):
    """The same template, for tools that are written into the system text before it sees them."""
    return template.replace("tools", "nothing")


@every_family
def test_the_tools_are_in_the_text(look, specs, family):
    prompt = to_prompt(look(), (), specs, family, QWEN_PRESET)
    text = chat_text(Writer(), family_template(family), prompt, family)
    assert all(f'{{"type": "function", "function": {{"name": "{spec.name}"' in text for spec in specs)


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_5"])
def test_templates_without_tools_change_no_byte(look, specs, name):
    family = family_named(name)
    template = family_template(family)
    prompt = to_prompt(look("it's <here> & there"), (), specs, family, QWEN_PRESET)
    assert takes_tools(template) and not takes_tools(without_tools(template))
    assert chat_text(Writer(), without_tools(template), prompt, family) == chat_text(Writer(), template, prompt, family)


def test_a_comment_about_tools_takes_none():
    assert not takes_tools("{# it knows no\ntools #}{{ messages }}")
    assert takes_tools("{# no tools #}{% if tools %}{{ tools }}{% endif %}")


@every_family
def test_calls_in_xml_come_with_the_reminder_that_the_models_were_trained_on(look, specs, family):
    prompt = to_prompt(look(), (), specs, family, QWEN_PRESET)
    assert ("<IMPORTANT>\nReminder:" in chat_text(Writer(), family_template(family), prompt, family)) == (
        family.dialect == "xml"
    )
