"""docs/tasks.md says what the code says, and shows every task of the suites. To update it: python docs/make_tasks.py"""

import pytest
from docs.make_tasks import MAX_FILE_BYTES, MEDIA, PAGE, page
from PIL import Image

from qwenarm.evaluation.suites import TASKS_V1


def test_the_page_follows_from_the_code():
    assert "Returns" not in page(), "what stands on the page is told to people, not to callers"
    assert PAGE.read_text(encoding="utf-8") == page(), "run python docs/make_tasks.py --text"


@pytest.mark.parametrize("task", TASKS_V1)
def test_every_family_has_a_picture_and_a_film_that_moves(task):
    for suffix, largest in MAX_FILE_BYTES.items():
        path = MEDIA / f"{task}{suffix}"
        assert 1000 < path.stat().st_size <= largest, f"run python docs/make_tasks.py {task}"
        with Image.open(path) as picture:
            assert (getattr(picture, "n_frames", 1) > 10) is (suffix == ".gif")


def test_all_of_them_together_are_small():
    assert sum(path.stat().st_size for path in MEDIA.parent.rglob("*") if path.is_file()) < 6_000_000
    assert {path.stem for path in MEDIA.iterdir()} == set(TASKS_V1)
