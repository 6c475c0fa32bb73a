"""A guess is what was learned, as far as it is likely."""

from qwenarm.mind.inference.fused.token_guesser import (
    MAX_GUESS_TOKENS,
    MAX_TABLE_PAIRS,
    MIN_GUESS_PROBABILITY,
    TokenGuesser,
)


def test_nothing_is_guessed_that_was_not_read():
    guesser = TokenGuesser()
    assert guesser.guess([1, 2]) == guesser.guess([]) == guesser.guess([1]) == []
    guesser.learn([1, 2])
    assert guesser.guess([1, 2]) == []


def test_an_answer_that_was_read_goes_on_as_it_did():
    guesser = TokenGuesser()
    guesser.learn(range(20))
    assert guesser.guess([7, 8]) == [*range(9, 9 + MAX_GUESS_TOKENS)]
    assert guesser.guess([40, 17, 18]) == [19]
    assert guesser.guess([8, 7]) == []


def test_the_likeliest_is_guessed_as_far_as_it_is_likely():
    guesser = TokenGuesser()
    for after in (5, 6, 5):
        guesser.learn([1, 2, after, 9])
    assert guesser.guess([1, 2]) == [5, 9]
    few = int(1 / MIN_GUESS_PROBABILITY) + 1
    for after in range(few):
        guesser.learn([3, 4, after])
    assert guesser.guess([3, 4]) == []


def test_what_the_prompt_names_is_thought_of_first():
    guesser = TokenGuesser()
    for after in (5, 5, 5, 6, 7):
        guesser.learn([1, 2, after, 9])
    assert guesser.guess([1, 2], {6, 30}) == [6, 9]
    assert guesser.guess([1, 2], {30}) == [5, 9]


def test_it_does_not_grow_without_bound():
    guesser = TokenGuesser()
    for first in range(3):
        guesser.learn([MAX_TABLE_PAIRS * first + step for step in range(MAX_TABLE_PAIRS)])
    assert guesser.guess([4, 5]) == []  # forgotten
    assert guesser.guess([2 * MAX_TABLE_PAIRS + 4, 2 * MAX_TABLE_PAIRS + 5])
