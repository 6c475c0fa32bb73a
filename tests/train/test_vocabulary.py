"""New words join a checkpoint's vocabulary without moving an old one."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from qwenarm.mind.checkpoints.load import bundled_folder, locate
from qwenarm.train.dataset import Shard
from qwenarm.train.vocabulary import MIN_COUNT, add_words, extend_tokenizer

SENTENCE = "inspect the gizmo beside the zebra"


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("words")) / "model"
    shutil.copytree(bundled_folder(), folder)
    extend_tokenizer(folder / "tokenizer.json", Counter({SENTENCE: MIN_COUNT}), ['{"a constant": "line"}'])
    return folder


def test_old_ids_stay_and_new_words_are_single(extended: Path):
    old, new = AutoTokenizer.from_pretrained(bundled_folder()), AutoTokenizer.from_pretrained(extended)
    assert old.get_vocab().items() <= new.get_vocab().items()
    assert len(new(SENTENCE)["input_ids"]) == len(SENTENCE.split())
    assert len(new('{"a constant": "line"}')["input_ids"]) == 1


@pytest.fixture(scope="module")
def tokenizer(extended: Path) -> Any:
    return AutoTokenizer.from_pretrained(extended)


@given(text=st.text(max_size=60))
def test_any_text_comes_back(tokenizer: Any, text: str):
    if "<|" not in text:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_checkpoint_grows_with_its_vocabulary(shards: list[Shard], tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(bundled_folder(), folder)
    many = [Shard(shard.path, shard.head, shard.lines * MIN_COUNT) for shard in shards]
    add_words(folder, many)
    checkpoint = locate(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert checkpoint.config["text_config"]["vocab_size"] >= len(tokenizer)
    assert len(tokenizer(" parcels")["input_ids"]) == 1
