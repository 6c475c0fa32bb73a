"""Guesses how an answer goes on, from what stood behind the same tokens in earlier answers.

Calls repeat much of each other: the skill, the second word of a label, the quote behind it; and they repeat words of
their prompt. A guess is shown to the model together with what is certain, in one step, and stands only as far as the
model chooses the same (``engine.py``). This is speculative decoding (Leviathan et al. 2023, arXiv:2211.17192) with a
table of pairs in place of a second model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from itertools import pairwise

PAIRS = 4096
"""So many pairs of tokens are remembered, then all is learned anew."""
MOST = 6
"""Longest guess, in tokens."""
LIKELY = 0.3
"""A guess ends where all of it would be right less often than this. A step costs as much as several tokens in it."""


class Drafts:
    """How often which token followed each pair of tokens."""

    def __init__(self) -> None:
        self._next: dict[tuple[int, ...], Counter[int]] = {}

    def learn(self, tokens: Sequence[int]) -> None:
        """Reads one answer."""
        if len(self._next) > PAIRS:
            self._next.clear()
        for pair, after in zip(pairwise(tokens), tokens[2:], strict=False):
            self._next.setdefault(pair, Counter())[after] += 1

    def guess(self, tokens: Sequence[int], told: Container[int] = ()) -> list[int]:
        """What is likely to follow an answer's tokens so far; empty where nothing is. told: the prompt's tokens; where
        some of them have followed before, only these are thought of.
        """
        draft: list[int] = []
        last, share = tuple(tokens[-2:]), 1.0
        while len(draft) < MOST and (known := self._next.get(last)):
            known = Counter({token: count for token, count in known.items() if token in told}) or known
            ((after, count),) = known.most_common(1)
            share *= count / known.total()
            if share < LIKELY:
                break
            draft.append(after)
            last = (last[1], after)
        return draft
