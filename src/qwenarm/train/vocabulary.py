"""Extends a small checkpoint's vocabulary: frequent words of its data become one token each. Old ids stay the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

from qwenarm.mind.checkpoints.load import quiet
from qwenarm.train.dataset import Shard

MIN_COUNT = 30
"""Rarer words stay split."""
BLANK_CHARACTERS = set("ĊĠ")
"""Line break and space in the byte-level alphabet."""


def add_words(folder: Path, shards: Sequence[Shard]) -> None:
    """Extends the tokenizer and the embeddings of the small Qwen3-VL checkpoint in ``folder`` in place.

    The lines that describe tools become one token each, because they never change. A new token's embedding is the
    mean of those of its old tokens.
    """
    old = AutoTokenizer.from_pretrained(folder)
    constants = dict.fromkeys(json.dumps(tool) for shard in shards for tool in shard.head["tools"])
    extend_tokenizer(folder / "tokenizer.json", texts_of(shards), constants)
    new = AutoTokenizer.from_pretrained(folder)
    with quiet():
        model: Any = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    known = model.get_input_embeddings().weight.shape[0]
    if len(new) == known:
        return
    model.resize_token_embeddings(len(new), mean_resizing=False)
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        for token in range(known, len(new)):
            table[token] = table[old(new.decode([token]))["input_ids"]].mean(0)
    with quiet():
        model.save_pretrained(folder)


def texts_of(shards: Sequence[Shard]) -> Counter[str]:
    """Returns the words of prompts and answers, with how often they occur."""
    texts: Counter[str] = Counter()
    for line in (line for shard in shards for line in shard.lines):
        texts[line["answer"]] += 1
        texts[[part["text"] for part in line["messages"][-1]["content"] if part["type"] == "text"][-1]] += 1
    return texts


def extend_tokenizer(path: Path, texts: Counter[str], constants: Iterable[str]) -> None:
    """Adds frequent words of the texts, and constants, to a tokenizer.json, with ids after the existing ones."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    vocabulary, added = settings["model"]["vocab"], settings["added_tokens"]
    size = Tokenizer.from_file(str(path)).get_vocab_size()
    for constant in constants:
        if constant not in {token["content"] for token in added}:
            added.append({**added[-1], "id": size, "content": constant})
            size += 1
    path.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
    words = _frequent(Tokenizer.from_file(str(path)), texts)
    vocabulary |= {token["content"]: token["id"] for token in added}  # otherwise their ids would change
    vocabulary |= {word: size + k for k, word in enumerate(words)}
    settings["model"]["ignore_merges"] = True  # a word of the vocabulary is one token, whatever the merges say
    path.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")


def _frequent(tokenizer: Tokenizer, texts: Counter[str]) -> list[str]:
    """Returns the words that are not yet one token, most frequent first."""
    counts: Counter[str] = Counter()
    known = tokenizer.get_vocab(with_added_tokens=True)
    phrases = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    for text, times in texts.items():
        for phrase in phrases:
            text = text.replace(phrase, "\n")
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):  # type: ignore[union-attr]  # it has one
            counts[word] += times
    return [
        w for w, count in counts.most_common() if count >= MIN_COUNT and w not in known and set(w) - BLANK_CHARACTERS
    ]
