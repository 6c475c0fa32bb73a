"""Names at ringed points stay readable: inside the picture, and none covers another or a ring while there is room."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.display.labels import Box, place_labels
from qwenarm.display.marks import BROWSER_FONT_WIDTH, MARK_FONT_SIZE, POINT_CANVAS_WIDTH, canvas_height, marks
from qwenarm.display.text import font
from qwenarm.types import Frame, ImagePoint, SkillCall

SIZE, REACH, FONT_SIZE = (480, 640), 11, 15
FRAME = Frame(np.zeros((48, 64, 3), np.uint8), "front")
FRACTIONS = st.sampled_from((0.0, 1.0)) | st.floats(0, 1)
WORDS = st.text("ab 红色\n", max_size=24) | st.text(max_size=400)


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_names_of_things_close_together_cover_nothing():
    row = [(100.0 + 60 * i, 200.0 + 8 * i, "green cylinder") for i in range(4)]
    corners = [(5.0, 5.0, "red cube"), (SIZE[1] - 5.0, SIZE[0] - 5.0, "purple container")]
    for named in (row, corners, row[:2] + corners):
        boxes = place_labels(named, SIZE, REACH, FONT_SIZE)
        rings = [(x - 7, y - 7, x + 7, y + 7) for x, y, _ in named]
        assert not any(overlap(a, b) for a, b in itertools.combinations([*boxes, *rings], 2))
        assert all(
            left >= 0 and right <= SIZE[1] and top >= 0 and bottom <= SIZE[0] for left, top, right, bottom in boxes
        )


def test_a_name_alone_stands_right_of_its_ring():
    ((left, top, right, bottom),) = place_labels([(300.0, 200.0, "红色方块")], SIZE, REACH, FONT_SIZE)
    assert left > 300 + 7 and top < 200 < bottom and right > left


@given(st.lists(st.tuples(FRACTIONS, FRACTIONS, WORDS), max_size=4))
def test_labels_of_points_stay_within_their_picture_whatever_a_model_says(points):
    drawn = marks(FRAME, [SkillCall("pick", {"at": ImagePoint(*point)}) for point in points])
    assert [mark.label[0] for mark in drawn] == [str(number) for number in range(1, len(points) + 1)]
    for mark in drawn:
        width, at, slack = BROWSER_FONT_WIDTH * font(MARK_FONT_SIZE).getlength(mark.label), mark.x + mark.label_dx, 0.2
        left = {"start": at, "middle": at - width / 2, "end": at - width}[mark.anchor]
        assert left >= -slack and left + width <= POINT_CANVAS_WIDTH + slack
        assert MARK_FONT_SIZE <= mark.y + mark.label_dy + slack <= canvas_height(FRAME)


def test_points_stand_in_the_picture_of_their_camera_with_the_number_of_their_call():
    first, second = ImagePoint(0.5, 0.5, "red cube"), ImagePoint(0.25, 0.75, "bowl")
    calls = [SkillCall("pick", {"at": first}), SkillCall("look"), SkillCall("place", {"at": second})]
    assert [(m.x, m.y, m.label) for m in marks(FRAME, calls)] == [(160, 120, "1 red cube"), (80, 180, "3 bowl")]
    assert marks(Frame(FRAME.rgb, "wrist"), calls) == []
