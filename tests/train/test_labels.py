"""Pictures become the very patches that the image processor would make, and their labels survive mirroring."""

import numpy as np
import torch
from transformers import Qwen2VLImageProcessorPil

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import SHAPES
from qwenarm.train.labels import COLOR_NAMES, SHAPE_NAMES, Pictures, cells, patches


def test_names_are_those_of_the_simulator():
    assert tuple(COLORS) == COLOR_NAMES
    assert SHAPES == SHAPE_NAMES


def test_patches_equal_those_of_the_processor():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    processor = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
        size={"shortest_edge": 1024, "longest_edge": 1 << 20},
    )  # fmt: skip
    expected = processor(images=list(rgb), return_tensors="pt")
    assert expected["image_grid_thw"].tolist() == [[1, 4, 6]] * 2
    torch.testing.assert_close(patches(rgb), expected["pixel_values"], atol=2e-3, rtol=0)


def test_cells_tell_what_their_owner_is_and_where():
    owner = np.full((1, 2, 3), -1)
    owner[0, 1, 2] = 1
    objects = np.full((1, 12, 8), -1.0, np.float32)
    objects[0, 0] = (SHAPE_NAMES.index("bowl"), COLOR_NAMES.index("blue"), 0.8, 0.7, 900, 0, -1, 0.14)
    objects[0, 1] = (SHAPE_NAMES.index("ball"), COLOR_NAMES.index("red"), 0.75, 0.6, 300, 1, 0, 0.045)
    truth = cells(Pictures(np.zeros((1, 64, 96, 3), np.uint8), owner, objects, np.zeros(1, np.int8)))
    assert truth["shape"][0].tolist() == [6, 6, 6, 6, 6, SHAPE_NAMES.index("ball")]
    last = {name: value[0, -1].item() for name, value in truth.items()}
    assert last["color"] == COLOR_NAMES.index("red")
    assert last["parent_color"] == COLOR_NAMES.index("blue")
    assert last["parent_shape"] == SHAPE_NAMES.index("bowl")
    assert (last["relation"], last["busy"]) == (1, 0)
    np.testing.assert_allclose([last["u"], last["v"]], [0.75, 0.6])
