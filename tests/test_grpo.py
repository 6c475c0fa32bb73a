"""TRL's own GRPOTrainer makes one step with the arm as its environment and pictures as results of tools."""

import importlib
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.counterparts import counterpart

from qwenarm.mind.backends.transformers_serve import load_processors_without_videos
from qwenarm.mind.checkpoints.load import bundled_folder

EXAMPLES = Path(__file__).parent.parent / "examples"
CALLS = ('{"name": "look", "arguments": {}}', '{"name": "done", "arguments": {}}')
PICTURE_TOKENS = 192 * 256 // 32**2
SMALL = {
    **{"num_generations": 2, "per_device_train_batch_size": 2, "max_completion_length": 320, "bf16": False},
    **{"use_cpu": True, "report_to": [], "save_strategy": "no", "disable_tqdm": True, "learning_rate": 1e-3},
}


def forced(tokenizer: Any, pictures: list[int]) -> Any:
    """Which token may come next: the bundled model was never taught this dialogue, so its calls are dictated."""
    texts = [f"<tool_call>\n{call}\n</tool_call><|im_end|>" for call in CALLS] + ["over<|im_end|>"]
    answers = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

    def allowed(row: int, ids: torch.Tensor) -> list[int]:
        pictures.append(int((ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")).sum()))
        before, _, said = tokenizer.decode(ids).rpartition("<|im_start|>assistant\n")
        answer = answers[min(before.count("<tool_response>"), len(answers) - 1)]
        told = len(tokenizer(said, add_special_tokens=False)["input_ids"])
        return [answer[min(told, len(answer) - 1)]]

    return allowed


@pytest.mark.slow
@pytest.mark.render
def test_grpo_with_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates = counterpart("trl.chat_template_utils")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    grpo = importlib.import_module("grpo_with_trl")
    transformers = counterpart("transformers")
    load_processors_without_videos()
    processor = transformers.AutoProcessor.from_pretrained(bundled_folder())
    processor.chat_template = templates.qwen3_vl_chat_template  # ours has no results of tools
    load, config = grpo.AutoModelForImageTextToText.from_pretrained, grpo.GRPOConfig

    pictures, rewards, before = list[int](), count(), dict[str, torch.Tensor]()

    def dictated(*args: Any, **options: Any) -> Any:
        model = load(*args, **options)
        before.update({name: weight.detach().clone() for name, weight in model.named_parameters()})
        generate = model.generate
        model.generate = lambda *a, **k: generate(
            *a, prefix_allowed_tokens_fn=forced(processor.tokenizer, pictures), **k
        )
        return model

    monkeypatch.setattr(grpo.AutoModelForImageTextToText, "from_pretrained", dictated)
    monkeypatch.setattr(grpo.Arm, "get_reward", lambda self: next(rewards) % 2.0)  # one of the two was better
    monkeypatch.setattr(grpo, "GRPOConfig", lambda out, **options: config(out, **{**options, **SMALL}))
    trainer = grpo.main(["--model", str(bundled_folder()), "--steps", "1"], processor)
    step = trainer.state.log_history[-1]
    assert trainer.state.global_step == 1 and step["tools/call_frequency"] == 2 and step["tools/failure_frequency"] == 0
    assert step["rewards/Arm/mean"] == 0.5 and set(pictures) == {0, PICTURE_TOKENS}, "no picture, then that of look"
    changed = [name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])]
    assert any("visual" in name for name in changed) and any("language_model" in name for name in changed)
    played = [environment._session.episode for environment in trainer.environments]
    assert {call.name for turn in played[0].turns for call in turn.decision.calls} == {"look", "done"}
    assert played[0].run.policy["client"] == "trl"
