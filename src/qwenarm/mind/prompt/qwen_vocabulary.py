"""Qwen's own tokenizer, rebuilt from the vocabulary that Alibaba publishes in its package dashscope.

A prompt can so be counted as Qwen2.5-VL and Qwen3-VL count it, without a checkpoint. The ranks are those of the file
``qwen.tiktoken``; the special tokens follow in the order in which the checkpoints add them (tokenizer_config.json on
the Hub), so that they take the documented ids. Qwen3.5 has a larger vocabulary of its own, which counts a little less.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ADDED_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>",
    "</think>",
)  # fmt: skip
PLAIN_TOKENS = ADDED_TOKENS[14:]
"""Tokens from <tool_call> on, which are not special and therefore remain in decoded text."""
CHARS_PER_TOKEN = 3.65
"""Mean number of characters per token in prompts (3.56 to 3.73 in all families), for when the vocabulary is missing."""


def count_tokens(text: str) -> tuple[int, str]:
    """Returns the number of tokens in a text, and how it was determined."""
    if _file() is None:
        known = "estimated from its length; `pip install 'qwenarm[vocabulary]'` counts with Qwen's own vocabulary"
        return round(len(text) / CHARS_PER_TOKEN), known
    return len(tokenizer().encode(text).ids), "Qwen's own vocabulary"


def _file() -> Path | None:
    """Returns the file of ranks, or None. Its package is not imported, because it needs a dozen others."""
    found = find_spec("dashscope")
    path = Path(found.origin).parent / "resources" / "qwen.tiktoken" if found and found.origin else None
    return path if path and path.is_file() else None


@cache
def tokenizer() -> Tokenizer:
    """Returns the tokenizer. Building it takes a second or two, so it is built once."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    ranks = dict(_ranks())
    found = Tokenizer(models.BPE(ranks, list(_merges(ranks))))
    found.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated", invert=False)
    found.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    found.decoder = decoders.ByteLevel()
    found.add_tokens([AddedToken(name, special=name not in PLAIN_TOKENS, normalized=False) for name in ADDED_TOKENS])
    return found


def _ranks() -> Iterator[tuple[str, int]]:
    """Yields each token, a letter for each of its bytes, with its rank. A line of the file has it in base64."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    path, letters = _file(), bytes_to_unicode()
    assert path is not None
    for line in path.read_bytes().splitlines():
        word, rank = line.split()
        yield "".join([letters[byte] for byte in base64.b64decode(word)]), int(rank)


def _merges(ranks: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yields the pairs of tokens that each token can be merged from, in order."""
    for word in ranks:
        cuts = [(word[:at], word[at:]) for at in range(1, len(word))]
        halves = [(ranks[left], ranks[right], left, right) for left, right in cuts if left in ranks and right in ranks]
        yield from ((left, right) for *_, left, right in sorted(halves))
