"""The bundled model's own small byte-level BPE, with Qwen's special tokens and chat layout.

Three things differ from a general tokenizer, and keep the sequences of a very small model short: every whole number
0..999 is one token (a position is read in one step), colours and shapes are always words of their own (so that unseen
combinations are made of seen words), and the constant phrases of the protocol (the tools' JSON lines, the skeleton of a
call) are one token each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessor

from qwenarm.mind.prompt.messages import ASKS, tool_schemas
from qwenarm.mind.prompt.presets import BUNDLED
from qwenarm.skills import specs as skill_specs
from qwenarm.train.labels import VIEWS
from qwenarm.types import SkillSpec

# Names as in the Qwen3-VL tokenizer (its ids differ: the vocabulary before them is larger).
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
SKELETON = (
    '{"name": "', '", "arguments": {"at": {"label": "', '", "point_2d": [',
    "]}}}", '", "arguments": {}}', "\nTask: ",
    "\nHistory:",
    "\nHand: empty", "\nHand: holding something", ": failed, ", ": ok", "system\n", "user\nfront:", "assistant\n",
)  # fmt: skip
PIECES = r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"
WORDS = """
    put place move drop take set lay bring carry pick grab lift get fetch transfer shift deposit leave stack build tower
    pile make sort arrange organise organize separate divide group collect gather tidy clear clean up the a an into onto
    in on to of at by it its that this those these them they and then after before next first second third last finally
    please could would can you i want need like should must let us now just so be is are was goes go belongs belong
    stays sits inside atop top above over under below bottom upon with without from out off down middle left right near
    beside each every all any one two three four own same matching colour color coloured colored colours colors shape
    shapes shaped kind things thing object objects item items piece pieces stuff everything everyone rest other others
    else only red orange yellow green blue purple white black cube cubes cylinder cylinders ball balls bowl bowls tray
    trays box boxes block blocks container containers places bin table robot arm hand gripper done ok failed none empty
    holding something nothing between fingers grasp point reach cm slipped already holds held far too wide there no not
    cannot found look see seen again try task history rule rules according follow where goal job your my for me i'd i'll
    let's kindly thanks thank hey hello also keep way order starting start ends end upwards upward using use as base
    finish given following here what which when while have has had do does did will shall may might add b balance begin
    both c contain fill flat hold how labels least load match matches ones or reads s sorting stand such sure value
    wording afterwards another away bottommost corner deliver edge finger give holder hollow keeps lowest lying outside
    pair putting respective round row side sides sitting someone spot standing surface thrown toward towards uppermost
    well whole wherever whichever
"""
"""Words that are one token each, alone and after a space: those of the tasks' instructions, of the skills' results, and
their kin.
"""
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def bundled_tokenizer() -> tuple[PreTrainedTokenizerFast, tuple[SkillSpec, ...]]:
    """The tokenizer of the bundled checkpoint, and the skills whose tool lines it knows as single tokens."""
    specs = BUNDLED.offered(skill_specs())
    schemas: list[Any] = list(tool_schemas(specs, ("front",), BUNDLED.tool_docs))
    lines = [json.dumps(schema) for schema in schemas]
    system = f"{BUNDLED.system} {ASKS['step']}"
    tokenizer = make_tokenizer([system, *lines])
    # What the chat template writes around the tools is constant as well.
    text = str(tokenizer.apply_chat_template([{"role": "system", "content": system}], tools=schemas, tokenize=False))
    before = text[text.index(system) + len(system) : text.index(lines[0])]
    after = text[text.index(lines[-1]) + len(lines[-1]) : text.rindex("<|im_end|>")]
    others = (f"user\n{camera}:" for camera in VIEWS[1:])
    parts: list[str | AddedToken] = [AddedToken(part, normalized=False) for part in (before, after, *others)]
    tokenizer.add_tokens(parts)  # type: ignore[arg-type]  # its own stub forgets what it takes
    return tokenizer, specs


def make_tokenizer(phrases: Sequence[str], vocab_size: int = 2600) -> PreTrainedTokenizerFast:
    """Numbers, words, bytes; ``phrases`` and the skeleton of the protocol become single tokens. The same arguments give
    the same ids.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [str(n) for n in range(1000)] * 50
    for word in WORDS.split():
        corpus += [word, f" {word}"] * 60
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in (*MARKS, *SKELETON, *phrases)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>", model_max_length=4096,
        clean_up_tokenization_spaces=False, chat_template=TEMPLATE.read_text(),
    )  # fmt: skip


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The id of one token of the vocabulary."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """The ids that the model's configuration names."""
    names = {
        "pad": "<|endoftext|>", "eos": "<|im_end|>", "image": "<|image_pad|>", "video": "<|video_pad|>",
        "vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>",
    }  # fmt: skip
    return {key: token_id(tokenizer, name) for key, name in names.items()}


def save_processor(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes tokenizer, chat template and image settings as a Hub checkpoint has them."""
    tokenizer.save_pretrained(folder)
    image_processor = Qwen2VLImageProcessor(
        patch_size=16, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
        size={"shortest_edge": 32 * 32 * 16, "longest_edge": 32 * 32 * 1024},
    )  # fmt: skip
    image_processor.save_pretrained(folder)
