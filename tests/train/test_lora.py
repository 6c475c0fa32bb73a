"""An adapter is trained on the same demonstrations and opens behind the name of its model."""

from pathlib import Path

import pytest

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.open_model import open_model
from qwenarm.train.batches import Example
from qwenarm.train.lora import train_adapter
from qwenarm.types import Completion, Prompt


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_adapter("bundled", [folder], tmp_path_factory.mktemp("lora"), steps=4, batch=2, lr=3e-2)


def test_an_adapter_changes_what_its_model_says(adapter: Path, examples: list[Example]):
    shard, line = examples[0]
    frames = tuple(shard.pictures(line["images"]))
    prompt = Prompt(tuple(line["messages"]), frames, tuple(shard.head["tools"]), max_tokens=24)
    plain, adapted = open_model("bundled"), open_model(f"bundled#adapter={adapter}")
    said, changed = (model.generate([prompt])[0] for model in (plain, adapted))
    assert isinstance(said, Completion) and isinstance(changed, Completion) and said.text != changed.text
    assert len(adapted.describe()["adapter"]) == 64
    assert "adapter" not in plain.describe()


def test_a_finished_run_is_only_read_again(adapter: Path, folder: Path):
    before = (adapter / "adapter_model.safetensors").read_bytes()
    assert train_adapter("bundled", [folder], adapter.parent, steps=4, batch=2, lr=3e-2) == adapter
    assert (adapter / "adapter_model.safetensors").read_bytes() == before


def test_a_folder_that_is_no_adapter_is_named(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="not a LoRA adapter"):
        open_model(f"bundled#adapter={tmp_path}")


def test_data_for_other_prompts_is_refused(folder: Path, tmp_path: Path):
    import shutil

    from qwenarm.mind.checkpoints.load import bundled_folder

    shutil.copytree(bundled_folder(), tmp_path / "model")
    (tmp_path / "model" / "qwenarm.json").unlink()
    with pytest.raises(BadInput, match="other prompts"):
        train_adapter(str(tmp_path / "model"), [folder], tmp_path, steps=1, batch=1, lr=1e-3)
