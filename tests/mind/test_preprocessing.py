"""Tokens and pixels equal those of the processor, to the bit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.model import load_model
from qwenarm.mind.checkpoints.placement import FreeMemory, MemoryNeed, ModelPlacement
from qwenarm.mind.checkpoints.processor import load_processor
from qwenarm.mind.inference.preprocessing import FastProcessor, mrope_positions
from qwenarm.mind.inference.transformers_forward import repeat_in_time
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET

ON_CPU = ModelPlacement(FreeMemory("cpu", (1 << 30,)), "float32", MemoryNeed(0, 0))
SIZES = [(192, 256), (448, 448), (56, 84), (100, 70), (30, 700), (8, 8), (1400, 1120)]


@pytest.fixture(scope="module", params=["bundled", "qwen2_5_vl", "qwen3_5"])
def processor(request, save_tiny, tmp_path_factory):
    own = request.param == "bundled"
    folder = None if own else save_tiny(tmp_path_factory.mktemp("inputs") / request.param, request.param)
    return load_processor(locate("bundled" if own else str(folder)))


def doubled(processor, pixels):
    images = processor.image_processor
    return repeat_in_time(pixels, SimpleNamespace(in_channels=3, temporal_patch_size=images.temporal_patch_size))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels(processor, size):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), dtype=np.uint8), np.full((*size, 3), 255, np.uint8)]
    expected = processor.image_processor(images=[Image.fromarray(frame) for frame in frames], return_tensors="pt")
    pixels, grids = FastProcessor(processor).pixels(frames)
    assert pixels.dtype == torch.float32
    assert torch.equal(doubled(processor, pixels), expected["pixel_values"])
    assert torch.equal(grids, expected["image_grid_thw"])


def test_every_brightness_of_every_channel(processor):
    shades = np.arange(256, dtype=np.uint8)
    frame = np.stack([np.roll(shades, shift) for shift in (0, 85, 170)], axis=-1)
    cell = processor.image_processor.patch_size * 2
    frame = np.resize(frame, (cell * 8, cell * 8, 3))
    expected = processor.image_processor(images=[Image.fromarray(frame)], return_tensors="pt")["pixel_values"]
    assert torch.equal(doubled(processor, FastProcessor(processor).pixels([frame])[0]), expected)


@pytest.mark.parametrize("preset", [BUNDLED_PRESET, QWEN_PRESET], ids=lambda preset: preset.name)
@pytest.mark.parametrize("cameras", [("front",), ("front", "wrist")])
def test_tokens(processor, look, specs, preset, cameras):
    from dataclasses import replace

    from qwenarm.mind.families import family_named

    observation = look("put \U0001f600 the <|image_pa| red  cube\n\n in 中 it ", cameras, size=(64, 128))
    prompt = to_prompt(observation, (), specs, family_named("qwen3_vl"), replace(preset, cameras=cameras))
    text = processor.apply_chat_template(list(prompt.messages), add_generation_prompt=True, tokenize=False)
    expected = processor(text=[text], images=[Image.fromarray(image) for image in prompt.images])
    grids = np.asarray(expected["image_grid_thw"]).tolist()
    assert FastProcessor(processor).ids(text, grids) == list(expected["input_ids"][0])


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
@pytest.mark.parametrize("grids", [[], [[1, 4, 6]], [[1, 6, 4], [1, 2, 2], [1, 4, 4]]], ids=len)
def test_places_are_those_of_the_model(save_tiny, tmp_path, kind, grids):
    model = load_model(locate(str(save_tiny(tmp_path / kind, kind))), ON_CPU)
    image, ids = model.config.image_token_id, [5, 6, 7]
    for _, height, width in grids:
        ids += [image] * (height * width // 4) + [8, 9]
    shown = torch.tensor([ids])
    expected, _ = model.model.get_rope_index(
        shown, mm_token_type_ids=(shown == image).int(), image_grid_thw=torch.tensor(grids) if grids else None
    )
    assert mrope_positions(ids, image, grids, 2).tolist() == expected[:, 0].tolist()
