"""The family follows from the config and the template, never from a name."""

import pytest

from qwenarm.errors import ModelUnavailable, UnknownName
from qwenarm.mind.families import FAMILY_OF_HUB_ID, MODEL_FAMILIES, TEXT_MODEL_TYPES, family_named, family_of

JSON_TEMPLATE = '<tool_call>\n{"name": <function-name>}\n</tool_call>'
XML_TEMPLATE = "<tool_call>\n<function=NAME>\n</function>\n</tool_call>{% if enable_thinking %}{% endif %}"


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_every_row_is_found_by_each_of_its_types(family):
    assert family_named(family.name) is family
    assert family.source
    assert all(family_of(kind) is family for kind in family.model_types)


def test_types_and_names_are_unique():
    types = [kind for family in MODEL_FAMILIES for kind in family.model_types]
    assert len(types) == len(set(types))
    assert len({family.name for family in MODEL_FAMILIES}) == len(MODEL_FAMILIES)


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_transformers_knows_every_type_and_processor(family):
    transformers = pytest.importorskip("transformers")
    assert hasattr(transformers, family.processor)
    for kind in family.model_types:
        assert transformers.AutoConfig.for_model(kind).model_type == kind


@pytest.mark.parametrize("kind", ["bert", "", "qwen3_next", "my-qwen3_vl"])
def test_an_unknown_type_names_the_known_ones(kind):
    with pytest.raises(ModelUnavailable, match="qwen2_5_vl, qwen3_vl, qwen3_vl_moe, qwen3_5"):
        family_of(kind)


@pytest.mark.parametrize("kind", TEXT_MODEL_TYPES)
def test_text_models_write_calls_as_their_template_says(kind):
    assert family_of(kind, JSON_TEMPLATE).dialect == "json" and family_of(kind, XML_TEMPLATE).dialect == "xml"


def test_the_template_has_the_last_word_on_the_dialect():
    assert family_of("qwen3_vl", JSON_TEMPLATE).dialect == "json"
    later = family_of("qwen3_vl", XML_TEMPLATE)
    assert (later.dialect, later.thinking_switch, later.codec) == ("xml", True, family_of("qwen3_vl").codec)
    assert family_of("qwen3_5", "no tools in here").dialect == "xml"


def test_published_ids_lead_to_rows():
    assert {family_named(name).name for name in FAMILY_OF_HUB_ID.values()} == {family.name for family in MODEL_FAMILIES}


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(UnknownName, match="Did you mean 'qwen3_vl'"):
        family_named("qwen3vl")
