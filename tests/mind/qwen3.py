"""Qwen3's own tokenizer, rebuilt from the public vocabulary.

The ranks are those of ``qwen.tiktoken`` in the package dashscope; the special tokens follow in the order in which the
checkpoints add them (tokenizer_config.json on the Hub), so that they take the documented ids.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

ADDED = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>",
    "</think>",
)  # fmt: skip
PLAIN = ADDED[14:]  # from <tool_call> on they are tokens of their own, but not special: they are not left out of a text


def vocabulary() -> Path:
    """The file of ranks; found without importing its package, which would want a dozen others."""
    found = find_spec("dashscope")
    assert found and found.origin
    return Path(found.origin).parent / "resources" / "qwen.tiktoken"


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Takes a second or two; so it is built once."""
    ranks = dict(_ranks())
    letters = bytes_to_unicode()
    spelled = {word: "".join(letters[byte] for byte in word) for word in ranks}
    merges = [
        (spelled[left], spelled[right]) for word in ranks if len(word) > 1 for left, right in _halves(word, ranks)
    ]
    raw = Tokenizer(models.BPE({spelled[word]: rank for word, rank in ranks.items()}, merges))
    raw.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated", invert=False)
    raw.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    raw.decoder = decoders.ByteLevel()
    raw.add_tokens([AddedToken(name, special=name not in PLAIN, normalized=False) for name in ADDED])
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def _ranks() -> Iterator[tuple[bytes, int]]:
    """One token a line, in base64, and its rank."""
    for line in vocabulary().read_bytes().splitlines():
        word, rank = line.split()
        yield base64.b64decode(word), int(rank)


def _halves(word: bytes, ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The pairs of tokens that make a token, in the order in which they are merged."""
    cuts = ((word[:at], word[at:]) for at in range(1, len(word)))
    return sorted(
        (pair for pair in cuts if pair[0] in ranks and pair[1] in ranks), key=lambda p: (ranks[p[0]], ranks[p[1]])
    )
