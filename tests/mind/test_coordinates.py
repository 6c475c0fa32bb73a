"""Laws of the coordinate codecs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.mind.coordinates import ResizedPixels, decode, encode, smart_resize, snap
from qwenarm.mind.families import MODEL_FAMILIES

SIDES = st.integers(16, 2400)
FRACTIONS = st.floats(0, 1)


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@given(size=st.tuples(SIDES, SIDES), uv=st.tuples(FRACTIONS, FRACTIONS))
def test_a_point_comes_back_within_half_a_unit(family, size, uv):
    xy = encode(family.codec, uv, size)
    back = decode(family.codec, xy, size)
    full = family.codec.span(size)
    for fraction, again, number, whole in zip(uv, back, xy, full, strict=True):
        assert 0 <= number <= whole
        assert abs(fraction - again) * whole <= 0.5 + 1e-9
        assert abs(fraction - again) <= 0.5 / whole + 1e-12


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@given(size=st.tuples(SIDES, SIDES), uv=st.tuples(FRACTIONS, FRACTIONS))
def test_reading_and_writing_again_changes_nothing(family, size, uv):
    xy = encode(family.codec, uv, size)
    assert encode(family.codec, decode(family.codec, xy, size), size) == xy


@given(
    size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)).filter(lambda size: max(size) <= 200 * min(size)),
    factor=st.sampled_from([28, 32]),
    budget=st.sampled_from(
        [(56 * 56, 14 * 14 * 4 * 1280), (65_536, 16_777_216), (3136, 28 * 28 * 16384), (4096, 65_536)]
    ),
)
def test_smart_resize_is_that_of_transformers(size, factor, budget):
    theirs = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl").smart_resize
    assert smart_resize(size, factor, *budget) == tuple(theirs(*size, factor, *budget))


def test_a_frame_too_narrow_is_refused():
    with pytest.raises(ValueError, match="200 : 1"):
        smart_resize((4, 4000), 28, 3136, 65_536)


def test_numbers_refer_to_the_resized_image():
    codec = ResizedPixels(28, 56 * 56, 28 * 28 * 16384)
    assert codec.span((480, 640)) == (644, 476)
    assert encode(codec, (1.0, 1.0), (480, 640)) == (644, 476)
    assert decode(codec, (322, 238), (480, 640)) == (0.5, 0.5)


@given(size=st.tuples(SIDES, SIDES), grid=st.sampled_from([28, 32]))
def test_a_snapped_frame_lies_on_the_grid_and_near(size, grid):
    snapped = snap(size, grid)
    assert all(side % grid == 0 and side > 0 for side in snapped)
    assert all(abs(side - wanted) <= grid / 2 or side == grid for side, wanted in zip(snapped, size, strict=True))
