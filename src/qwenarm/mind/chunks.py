"""Action chunks from a Qwen backbone: the control level ``chunk``, beside the words of ``step`` and ``plan``.

After OpenVLA-OFT (Kim et al. 2025, arXiv:2502.19645): behind the prompt stand a token of the arm's state and a
placeholder for each action. The backbone reads all of them in one pass, and an MLP turns the placeholders' last hidden
states into actions, without decoding. Here the head also says where the fingers will next close or open (the aim), and
the MLP is told that place relative to the hand.

A checkpoint that can do this has a folder ``chunk``: ``head.safetensors`` (the head, and the backbone as it was tuned
for chunks, so that neither changes the other's answers) and ``head.json`` (``ChunkFormat``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints.limits import check_files
from qwenarm.mind.checkpoints.load import locate, quiet
from qwenarm.mind.checkpoints.memory import Workload
from qwenarm.mind.checkpoints.model import load_model, plan_for
from qwenarm.mind.inference.preprocessing import PromptEncoder, mrope_positions
from qwenarm.mind.inference.transformers_forward import repeat_in_time
from qwenarm.mind.prompt.chat_templates import read_json
from qwenarm.mind.prompt.messages import hand_words, picture_content
from qwenarm.mind.prompt.presets import CHUNK_ALTITUDE
from qwenarm.types import Completion, Prompt

CHUNK_FOLDER, WEIGHTS_FILE, FORMAT_FILE = "chunk", "head.safetensors", "head.json"
HEAD_PREFIX, LANGUAGE_PREFIX, VISION_PREFIX = "head.", "language.", "vision."
ACTION_SIZE, POSITION_SIZE = 7, 3
HEAD_HIDDEN_SIZE = 640
NEAR_GAP = 1 / 8
"""Distance from hand to aim, in normalised units, up to which the head is also told it at a larger scale: the last
centimetres decide a grasp."""
MAX_CHUNK_ACTIONS, MAX_STATE_SIZE = 64, 64
SYSTEM_TEXT = "You control a robot arm."


@dataclass(frozen=True)
class ChunkFormat:
    """Everything about a chunk head but its weights.

    Attributes:
        actions: Number of actions in a chunk, one control period (50 ms) each.
        state_low: For each number of the state its 1 % quantile in the training data, which becomes -1. The first three
            are the position of the tcp.
        state_high: The 99 % quantile, which becomes 1.
        conventions: What state and actions mean, with the actions' quantiles: see ``policies/conventions.py``.
    """

    actions: int
    state_low: tuple[float, ...]
    state_high: tuple[float, ...]
    conventions: Mapping[str, Any]

    def __post_init__(self) -> None:
        size = len(self.state_low)
        if not 1 <= self.actions <= MAX_CHUNK_ACTIONS or not POSITION_SIZE <= size <= MAX_STATE_SIZE:
            raise ValueError(f"{self.actions} actions and {size} numbers of state")
        if len(self.state_high) != size or any(a >= b for a, b in zip(self.state_low, self.state_high, strict=True)):
            raise ValueError("each of state_low must be below its state_high")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, path: Path, source: str) -> ChunkFormat:
        """Raises ModelUnavailable for a file that does not describe a head."""
        told = read_json(path, source)
        try:
            low, high = (tuple(map(float, told[name])) for name in ("state_low", "state_high"))
            return cls(int(told["actions"]), low, high, dict(told["conventions"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelUnavailable(f"{path.name} of {source!r} does not describe a chunk head: {error}.") from error


class ChunkHead(nn.Module):
    """About 0.7 M parameters on a backbone of width 256. Computes in float32.

    Args:
        width: Width of the backbone's hidden states.
        form: The sizes and the state's normalisation.
    """

    def __init__(self, width: int, form: ChunkFormat) -> None:
        super().__init__()
        size = len(form.state_low)
        self.placeholder_embeddings = nn.Parameter(0.02 * torch.randn(form.actions, width))
        self.state_token = _mlp(size, width, width)
        self.aim = _mlp(width, width, POSITION_SIZE)
        self.motion = _mlp(width + size + 3 * POSITION_SIZE, HEAD_HIDDEN_SIZE, HEAD_HIDDEN_SIZE, ACTION_SIZE)
        self.low, self.high = torch.tensor(form.state_low), torch.tensor(form.state_high)

    def normalised(self, state: torch.Tensor) -> torch.Tensor:
        """(B, size) in m and rad to about -1..1."""
        low, high = self.low, self.high
        return (2 * (state - low) / (high - low) - 1).clamp(-2, 2)

    def embeddings(self, state: torch.Tensor) -> torch.Tensor:
        """(B, size) -> (B, 1 + actions, width): what the backbone reads behind the prompt."""
        token = 0.1 * self.state_token(self.normalised(state))
        return torch.cat([token[:, None], self.placeholder_embeddings.expand(len(state), -1, -1)], 1)

    def forward(self, hidden: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turns last hidden states (B, 1 + actions, width) and states (B, size) into what the arm should do.

        Returns:
            (B, actions, 7) normalised actions as the conventions say, and (B, 3) the aim, normalised like the state.
        """
        hidden, known = hidden[:, 1:].float(), self.normalised(state)
        aim = self.aim(hidden.mean(1))
        gap = aim - known[:, :POSITION_SIZE]
        facts = torch.cat([known, aim, gap, (gap / NEAR_GAP).tanh()], 1)
        facts = facts[:, None].expand(-1, hidden.shape[1], -1)
        return self.motion(torch.cat([hidden, facts], -1)), aim


@dataclass(frozen=True)
class ChunkTokens:
    """B prompts with their placeholders, padded to L tokens.

    Attributes:
        ids: (B, L) int64.
        positions: (3, B, L) int64 of M-RoPE.
        slots: (B, L) bool, the 1 + actions tokens that the head provides.
        pictures: For each prompt the index of the first token of each picture.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor
    pictures: list[list[int]]


def chunk_prompt(instruction: str, cameras: Sequence[str], holding: bool) -> Prompt:
    """The prompt without its pictures."""
    words = f"\nTask: {' '.join(instruction.split())}\nHand: {hand_words(holding)}"
    content = [*picture_content(cameras), {"type": "text", "text": words}]
    return Prompt(({"role": "system", "content": SYSTEM_TEXT}, {"role": "user", "content": content}))


def chunk_tokens(encoder: PromptEncoder, prompts: Sequence[Prompt], grids: torch.Tensor, actions: int) -> ChunkTokens:
    """Prompts as tokens.

    Args:
        encoder: The checkpoint's encoder.
        prompts: All with the same number of pictures.
        grids: (pictures, 3), the patches of all pictures in time, height and width.
        actions: Number of placeholders of each.
    """
    fast, each = encoder.fast_processor, len(grids) // len(prompts)
    rows, places = [], []
    for number, prompt in enumerate(prompts):
        own = grids[number * each : (number + 1) * each].tolist()
        ids = fast.ids(encoder.text(prompt), own)
        ids = [*ids, *[ids[-1]] * (1 + actions)]
        rows.append(ids)
        places.append(mrope_positions(ids, fast.image_token, own, fast.images.merge_size))
    length = max(map(len, rows))
    ids, slots = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), bool)
    positions, pictures = np.zeros((3, len(rows), length), np.int64), []
    for number, (row, place) in enumerate(zip(rows, places, strict=True)):
        ids[number, : len(row)], positions[:, number, : len(row)] = row, place
        slots[number, len(row) - 1 - actions : len(row)] = True
        shown = np.array(row) == fast.image_token
        pictures.append(np.flatnonzero(shown & ~np.roll(shown, 1)).tolist())
    return ChunkTokens(torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(slots), pictures)


@torch.no_grad()
def see(model: Any, pixels: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
    """What the vision tower makes of pictures of one size.

    Args:
        model: A Qwen-VL model of transformers.
        pixels: The pixels of all pictures, as its vision tower takes them.
        grids: (pictures, 3) int64.

    Returns:
        (pictures, 1 + deepstack, cells, width): the visual tokens, and what is added to them in the first layers.
    """
    visual = model.model.visual
    out = visual(pixels.to(visual.dtype), grid_thw=grids)
    levels = torch.stack([out.pooler_output, *out.deepstack_features])
    return levels.unflatten(1, (len(grids), -1)).transpose(0, 1)


def chunk_forward(
    model: Any, head: ChunkHead, tokens: ChunkTokens, seen: torch.Tensor, state: torch.Tensor, attention: bool = False
) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Runs language model and head.

    Args:
        model: A Qwen-VL model of transformers.
        head: Made for it.
        tokens: B prompts.
        seen: Their pictures in order, see ``see``.
        state: (B, size) float32.
        attention: Whether to return attention maps, for a model with eager attention.

    Returns:
        Actions (B, actions, 7) and aim (B, 3), see ``ChunkHead``; attention (B, heads, L, L) by layer, or None.
    """
    embeds = model.get_input_embeddings()(tokens.ids)
    shown = (tokens.ids == model.config.image_token_id) & ~tokens.slots
    visual, *deepstack = seen.transpose(0, 1).flatten(1, 2).to(embeds.dtype)
    embeds = embeds.masked_scatter(shown[..., None], visual)
    embeds = embeds.masked_scatter(tokens.slots[..., None], head.embeddings(state).to(embeds.dtype))
    out = model.model.language_model(
        inputs_embeds=embeds, position_ids=tokens.positions, visual_pos_masks=shown,
        deepstack_visual_embeds=deepstack, output_attentions=attention, use_cache=False,
    )  # fmt: skip
    hidden = out.last_hidden_state[tokens.slots].view(len(state), -1, embeds.shape[-1])
    actions, aim = head(hidden, state)
    return actions, aim, out.attentions if attention else None


def save_chunk_head(
    folder: Path,
    form: ChunkFormat,
    head: Mapping[str, torch.Tensor],
    language: Mapping[str, torch.Tensor],
    vision: Mapping[str, torch.Tensor],
) -> None:
    """Writes a head, and language model and vision tower for it, as float16 into ``chunk`` of a checkpoint's folder."""
    (folder / CHUNK_FOLDER).mkdir(exist_ok=True)
    parts = {HEAD_PREFIX: head, LANGUAGE_PREFIX: language, VISION_PREFIX: vision}
    named = {
        prefix + name: value.detach().to(torch.float16).contiguous()
        for prefix, some in parts.items()
        for name, value in some.items()
    }
    save_file(named, folder / CHUNK_FOLDER / WEIGHTS_FILE)
    (folder / CHUNK_FOLDER / FORMAT_FILE).write_text(form.to_json(), encoding="utf-8")


class ChunkModel:
    """A checkpoint that answers with chunks. A backend: it takes prompts of ``policies/chunk_player.py``.

    Args:
        source: "bundled", a folder, or a Hub id.

    Raises:
        ModelUnavailable: The checkpoint cannot be used, or it has no chunk head that fits it.
    """

    thinking = False

    def __init__(self, source: str) -> None:
        if "#" in source:
            raise BadInput(f"The altitude chunk takes no options of a model: {source!r}.")
        self.name, self.checkpoint = source, locate(source)
        self.family, self.preset = self.checkpoint.family, self.checkpoint.preset
        folder = self.checkpoint.folder / CHUNK_FOLDER
        if not (folder / FORMAT_FILE).is_file() or not (folder / WEIGHTS_FILE).is_file():
            raise ModelUnavailable(f"{source!r} has no chunk head; `qwenarm train chunk` makes a checkpoint with one.")
        check_files(folder, source, ("*.json",), WEIGHTS_FILE)
        self.form = ChunkFormat.read(folder / FORMAT_FILE, source)
        self.encoder = PromptEncoder(self.checkpoint)
        self.model: Any = load_model(self.checkpoint, plan_for(self.checkpoint, Workload(), "cpu", "float32"))
        self.head = ChunkHead(self.model.config.text_config.hidden_size, self.form)
        self.sha256 = self._load_weights(folder / WEIGHTS_FILE)

    def _load_weights(self, path: Path) -> str:
        try:
            weights = {name: value.float() for name, value in load_file(path).items()}
            backbone = self.model.model
            modules = {HEAD_PREFIX: self.head, LANGUAGE_PREFIX: backbone.language_model, VISION_PREFIX: backbone.visual}
            for prefix, module in modules.items():
                own = {name.removeprefix(prefix): v for name, v in weights.items() if name.startswith(prefix)}
                module.load_state_dict(own)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise ModelUnavailable(f"The chunk head of {self.name!r} does not fit it: {error}.") from error
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def describe(self) -> Mapping[str, Any]:
        return {**self.checkpoint.describe(), "sha256": self.sha256, "altitude": CHUNK_ALTITUDE}

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        began, one = perf_counter(), self.form.conventions
        told = [json.loads(prompt.messages[0]["content"][-1]["text"]) for prompt in prompts]
        states = [each[one["state_key"]] for each in told]
        asked = [
            chunk_prompt(each[one["prompt_key"]], list(one["cameras"]), holding(one, state))
            for each, state in zip(told, states, strict=True)
        ]
        pixels, grids = self.encoder.fast_processor.pixels([image for prompt in prompts for image in prompt.images])
        tokens = chunk_tokens(self.encoder, asked, grids, self.form.actions)
        with torch.no_grad(), quiet():
            pixels = repeat_in_time(pixels, self.model.config.vision_config)
            seen = see(self.model, pixels, grids)
            actions, _, _ = chunk_forward(self.model, self.head, tokens, seen, torch.tensor(states))
        seconds = (perf_counter() - began) / len(prompts)
        return [Completion(json.dumps(rows), seconds) for rows in actions.round(decimals=4).tolist()]


def holding(conventions: Mapping[str, Any], state: Sequence[float]) -> bool:
    """Whether the state says so; it must be the last of its parts."""
    return conventions["state"][-1] == "holding" and state[-1] > 0.5


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])
