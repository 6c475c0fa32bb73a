"""Marks: painted as they were drawn, seen in every renderer, felt by nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qwenarm.body.objects.markings import MARKING_WORDS, marking_words, rectangles
from qwenarm.body.objects.spec import PARCELS_AND_PARTS, ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.registry import load

MARKS = [name for name, words in MARKING_WORDS.items() if "{}" not in words]
"""Those of parcels."""
SLOT = {"stripe": "sides", "crack": "sides"}
"""Where a mark is put, if not on top."""


def body_of(**marks) -> Body:
    spec = ObjectSpec("parcel", "blue", 0.048, **marks)
    return Body(Scene((Placement(spec, (0.53, 0.0, spec.origin_height), 0.2),)), load("arms", "panda"))


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_rectangles_are_the_mask_and_do_not_overlap(mask):
    painted = np.zeros(mask.shape, dtype=int)
    for top, bottom, left, right in rectangles(mask):
        painted[top:bottom, left:right] += 1
    assert np.array_equal(painted, mask)


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark != "9"])  # the one that is heavier
def test_paint_weighs_and_touches_nothing(mark):
    plain, marked = body_of(), body_of(**{SLOT.get(mark, "top"): mark})
    assert np.array_equal(plain.model.body_mass, marked.model.body_mass)
    control = plain.hold()
    for _ in range(4):
        plain.step(control)
        marked.step(control)
    assert plain.final_hash() == marked.final_hash()


@pytest.mark.render
@pytest.mark.parametrize("size", [(192, 256), (480, 640)])
def test_every_mark_is_seen_and_no_two_look_the_same(size):
    pictures = {"": body_of().frame("front", size).rgb.astype(int)}
    for mark in MARKS:
        pictures[mark] = body_of(**{SLOT.get(mark, "top"): mark}).frame("front", size).rgb.astype(int)
    parcel = (body_of().segmentation("front", size) == 0).sum()
    for a in pictures:
        for b in pictures:
            different = (np.abs(pictures[a] - pictures[b]).max(axis=2) > 60).sum()
            assert a == b or different > 0.05 * parcel, f"{a or 'none'} and {b or 'none'} look alike"


def test_features_are_told_in_words():
    assert marking_words("pins:4+dot:red") == ["4 pins", "red dot"] and marking_words("") == []


def test_goods_are_told_apart_by_number_and_named_by_their_marks():
    assert PARCELS_AND_PARTS and all(ObjectSpec(shape, "red").graspable for shape in PARCELS_AND_PARTS)
    first, second = (ObjectSpec("parcel", "red", top="glass", sides="crack", number=i) for i in (1, 2))
    assert (first.id, second.id) == ("red_parcel_1", "red_parcel_2")
    assert first.label == second.label == "red parcel, fragile, cracked"
