"""Names in a scene sheet stay readable: none covers another or a ring while there is room."""

import itertools

from qwenarm.display.scene_sheet import RING_RADIUS_PX, VIEW_SIZE, place_labels


def overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def rings(named):
    return [(x - RING_RADIUS_PX, y - RING_RADIUS_PX, x + RING_RADIUS_PX, y + RING_RADIUS_PX) for x, y, _ in named]


def test_names_of_things_close_together_cover_nothing():
    row = [(100.0 + 60 * i, 200.0 + 8 * i, "green cylinder") for i in range(4)]
    corners = [(5.0, 5.0, "red cube"), (VIEW_SIZE[1] - 5.0, VIEW_SIZE[0] - 5.0, "purple container")]
    for named in (row, corners, row[:2] + corners):
        boxes = place_labels(named)
        assert not any(overlap(a, b) for a, b in itertools.combinations([*boxes, *rings(named)], 2))
        assert all(left >= 0 and right <= VIEW_SIZE[1] and top <= VIEW_SIZE[0] for left, top, right, _ in boxes)


def test_a_name_alone_stands_right_of_its_ring():
    ((left, top, right, bottom),) = place_labels([(300.0, 200.0, "红色方块")])
    assert left > 300 + RING_RADIUS_PX and top < 200 < bottom and right > left
