"""Guesses the next tokens of an answer from what followed the same two tokens in earlier answers.

Calls repeat much of each other (the skill, the second word of a label, the quote after it) and words of their
prompt, so a small table is right often enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from itertools import pairwise

MAX_TABLE_PAIRS = 4096
"""Maximum number of pairs in the table; beyond it the table is emptied."""
MAX_GUESS_TOKENS = 6
MIN_GUESS_PROBABILITY = 0.3
"""Minimum probability of a whole guess. It is low, because a step costs little more for several tokens."""


class TokenGuesser:
    """Counts which token follows each pair of tokens."""

    def __init__(self) -> None:
        self._followers: dict[tuple[int, ...], Counter[int]] = {}

    def learn(self, tokens: Sequence[int]) -> None:
        """Counts one answer."""
        if len(self._followers) > MAX_TABLE_PAIRS:
            self._followers.clear()
        for pair, follower in zip(pairwise(tokens), tokens[2:], strict=False):
            self._followers.setdefault(pair, Counter())[follower] += 1

    def guess(self, tokens: Sequence[int], preferred: Container[int] = ()) -> list[int]:
        """Returns the tokens that probably follow, or nothing if none are likely enough.

        Args:
            tokens: The prompt and the answer so far.
            preferred: If some of these have followed before, no others are considered.
        """
        guess: list[int] = []
        pair, probability = tuple(tokens[-2:]), 1.0
        while len(guess) < MAX_GUESS_TOKENS and (counts := self._followers.get(pair)):
            counts = Counter({token: count for token, count in counts.items() if token in preferred}) or counts
            ((follower, count),) = counts.most_common(1)
            probability *= count / counts.total()
            if probability < MIN_GUESS_PROBABILITY:
                break
            guess.append(follower)
            pair = (pair[1], follower)
        return guess
