"""What presets pin: the bundled model's language byte for byte, and which skills a model is told of."""

import hashlib
from dataclasses import replace

from qwenarm import skills
from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.processor import load_processor
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.types import SkillSpec

# The words that the shipped weights were trained on. It may only change together with those weights.
BUNDLED_PROMPT = "b40fbc27d4da9a40dd96da49cb1c2d3b2a560d76a43b4ee3e96237eef3883a1c"


class _Backend:
    """Only what a policy asks of a backend before it decides."""

    thinking = False

    def __init__(self, family):
        self.family = family


def test_the_bundled_model_is_asked_in_the_words_it_was_trained_on(look):
    checkpoint = locate("bundled")
    later = SkillSpec("wave", "A skill that came after the training.")
    policy = VlmPolicy(_Backend(checkpoint.family), (later, *skills.specs()), checkpoint.preset)
    prompt = to_prompt(look(size=(192, 256)), (), policy.specs, checkpoint.family, policy.preset)
    text = load_processor(checkpoint).apply_chat_template(
        list(prompt.messages), tools=list(prompt.tools), add_generation_prompt=True, tokenize=False
    )
    assert hashlib.sha256(text.encode()).hexdigest() == BUNDLED_PROMPT, text


def test_a_preset_offers_its_skills_in_its_order(specs):
    names = [spec.name for spec in replace(QWEN_PRESET, skills=("place", "pick")).offered(specs)]
    assert names == ["place", "pick"]


def test_a_preset_without_names_offers_all_skills(specs):
    assert QWEN_PRESET.offered(specs) == specs


def test_the_bundled_preset_names_skills_that_exist():
    assert set(BUNDLED_PRESET.skills) <= {spec.name for spec in skills.specs()}
