"""Training pictures: what the labels say is what the pictures show."""

from pathlib import Path

import numpy as np
import pytest

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import HELD_OUT, SHAPES
from qwenarm.train.frames import SIZE, arrange, make_shard, random_specs
from qwenarm.train.labels import Pictures, batches, load_shards

pytestmark = pytest.mark.render


def test_labels_fit_the_picture(pictures: Pictures):
    for rgb, owner, objects in zip(pictures.rgb, pictures.owner, pictures.objects, strict=True):
        assert rgb.shape == (*SIZE, 3)
        assert rgb.std() > 5
        real = objects[objects[:, 0] >= 0]
        assert len(real) >= 1
        assert set(np.unique(owner)) <= {-1, *range(len(real))}
        for row, (shape, color, u, v, pixels, *_) in enumerate(real):
            if shape < 3 and pixels >= 150 and (owner == row).any():
                cell = owner[int(v * SIZE[0]) // 32, int(u * SIZE[1]) // 32]
                assert cell >= 0, "the middle of a large thing lies in a cell that somebody owns"
                name = list(COLORS)[int(color)]
                if cell == row and name in ("red", "green", "blue"):
                    patch = rgb[int(v * SIZE[0]), int(u * SIZE[1])].astype(int)
                    assert patch.argmax() == ("red", "green", "blue").index(name)


def test_no_held_out_pair_is_drawn():
    rng = np.random.default_rng(0)
    for _ in range(200):
        specs = random_specs(rng, 5, 3)
        assert not {(s.color, s.shape) for s in specs} & HELD_OUT
        assert len({s.id for s in specs}) == len(specs)


def test_held_out_pairs_cover_every_color_and_shape():
    assert len(HELD_OUT) >= 0.15 * len(COLORS) * len(SHAPES)
    assert {color for color, _ in HELD_OUT} == set(COLORS)
    assert {shape for _, shape in HELD_OUT} == set(SHAPES)


def test_arrangements_carry_and_stack():
    rng = np.random.default_rng(1)
    lifted = [
        p for _ in range(30) for p in arrange(rng, random_specs(rng, 5, 2)) if p.pos[2] > p.spec.origin_height + 0.004
    ]
    assert len(lifted) > 20


def test_a_shard_is_whole_or_absent_and_repeats(tmp_path: Path):
    for name in ("shard0000", "again/shard0000"):
        make_shard(tmp_path / name, seed=0, count=3)
    (tmp_path / "shard0001.part77").mkdir()
    shards = load_shards(tmp_path)
    assert [len(s["rgb"]) for s in shards] == [3]
    np.testing.assert_array_equal(shards[0]["objects"], load_shards(tmp_path / "again")[0]["objects"])
    batch = next(batches(shards, 8, np.random.default_rng(0)))
    assert batch.rgb.shape == (8, *SIZE, 3)
    assert batch.rgb.dtype == np.uint8


def test_names_come_in_the_order_of_the_simulator(pictures: Pictures):
    assert pictures.objects[..., 0].max() < len(SHAPES)
