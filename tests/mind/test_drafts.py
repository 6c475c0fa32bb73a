"""Guesses say what was learned, where it is likely, and no more."""

from qwenarm.mind.inference.fused.speculative import LIKELY, MOST, PAIRS, Drafts


def test_nothing_is_guessed_that_was_not_read():
    drafts = Drafts()
    assert drafts.guess([1, 2]) == drafts.guess([]) == drafts.guess([1]) == []
    drafts.learn([1, 2])
    assert drafts.guess([1, 2]) == []


def test_an_answer_that_was_read_goes_on_as_it_did():
    drafts = Drafts()
    drafts.learn(range(20))
    assert drafts.guess([7, 8]) == [*range(9, 9 + MOST)]
    assert drafts.guess([40, 17, 18]) == [19]
    assert drafts.guess([8, 7]) == []


def test_the_likeliest_is_guessed_as_far_as_it_is_likely():
    drafts = Drafts()
    for after in (5, 6, 5):
        drafts.learn([1, 2, after, 9])
    assert drafts.guess([1, 2]) == [5, 9]
    few = int(1 / LIKELY) + 1
    for after in range(few):
        drafts.learn([3, 4, after])
    assert drafts.guess([3, 4]) == []


def test_what_the_prompt_names_is_thought_of_first():
    drafts = Drafts()
    for after in (5, 5, 5, 6, 7):
        drafts.learn([1, 2, after, 9])
    assert drafts.guess([1, 2], {6, 30}) == [6, 9]
    assert drafts.guess([1, 2], {30}) == [5, 9]


def test_it_does_not_grow_without_bound():
    drafts = Drafts()
    for first in range(3):
        drafts.learn([PAIRS * first + step for step in range(PAIRS)])
    assert len(drafts._next) <= 2 * PAIRS
    assert drafts.guess([2 * PAIRS + 4, 2 * PAIRS + 5])
