"""One answer while it is generated: which tokens may come next, which must, and when it ends.

There are three kinds. A free answer takes any tokens up to a stop token or the limit. A constrained one follows a
matcher of ``constrained/lark.py``, which knows the tokens that may come next; if there is only one, it is appended
without asking the model. A thinking one is free up to </think>, then constrained; a thought that reaches the limit
or a stop token is ended there.

The limit ends thoughts, and no call begins after it. A call that has begun is always finished (its grammar bounds
its length), so an answer never ends inside a call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np


class GeneratedAnswer:
    """The answer to one prompt.

    Args:
        limit: Maximum number of tokens.
        stops: Ids that end an answer.
        matcher: A fresh LLMatcher, or None for a free answer.
        thought_end: The id of </think> if the model thinks before it follows the matcher, or None.

    Attributes:
        on_tokens: Told the tokens so far whenever there are more; changes nothing.
    """

    on_tokens: Callable[[Sequence[int]], None] | None = None

    def __init__(self, limit: int, stops: Collection[int], matcher: Any = None, thought_end: int | None = None) -> None:
        self.limit, self.stops, self.matcher, self.thought_end = limit, stops, matcher, thought_end
        self._clear()

    def _clear(self) -> None:
        self.tokens: list[int] = []
        """Tokens so far, without the stop token."""
        self.finish = ""
        """Empty while the answer is unfinished, then "stop" or "length"."""
        self.tokens_used = 0
        """Number of tokens so far, including the stop token."""
        self._free = self.matcher is None or self.thought_end is not None

    def restart(self) -> None:
        """Starts over with an empty answer."""
        self._clear()
        if self.matcher is not None:
            self.matcher.reset()
        self.begin()

    def begin(self) -> list[int]:
        """Appends and returns the tokens with which every such answer begins."""
        return [] if self._free else self._append_forced()

    def allow(self, bits: np.ndarray) -> None:
        """Clears the bits of tokens that may not come next.

        Args:
            bits: ((vocabulary + 31) // 32,) int32 with one bit per token, all set; changed in place.
        """
        if not self._free:
            mask = np.frombuffer(self.matcher.compute_bitmask(), np.int32)  # may be a word longer than needed
            bits[:] = mask[: len(bits)]
        elif self.thought_end is not None and len(self.tokens) + 1 >= self.limit:
            bits[:] = 0
            bits[self.thought_end // 32] = np.array(1 << self.thought_end % 32, np.uint32).view(np.int32)

    def take(self, token: int) -> list[int]:
        """Appends the token that the model chose. Returns it and the tokens that the grammar forces after it."""
        added = self._take(token)
        if self.on_tokens is not None:
            self.on_tokens(self.tokens)
        return added

    def _take(self, token: int) -> list[int]:
        if self._free and self.thought_end is not None:
            return self._think(token)
        if not self._free:
            self._check(self.matcher.consume_token(token))
        self.tokens_used += 1
        if token in self.stops:
            self.finish = "stop"
            return []
        self.tokens.append(token)
        if not self._free:
            return [token, *self._append_forced()]
        self.finish = "length" if len(self.tokens) >= self.limit else ""
        return [token]

    def _think(self, token: int) -> list[int]:
        assert self.thought_end is not None
        token = self.thought_end if token in self.stops else token
        self.tokens_used += 1
        self.tokens.append(token)
        self._free = token != self.thought_end
        return [token] if self._free else [token, *self._append_forced()]

    def _append_forced(self) -> list[int]:
        forced: list[int] = []
        while more := self.matcher.compute_ff_tokens():
            self._check(self.matcher.consume_tokens(more))
            forced += more
        self.tokens += forced
        self.tokens_used += len(forced)
        if self.matcher.is_stopped() or (len(self.tokens) >= self.limit and self.matcher.is_accepting()):
            self.finish = "stop"
        return forced

    def _check(self, taken: bool) -> None:
        if not taken:
            raise RuntimeError(f"The grammar refused a token that it had allowed: {self.matcher.get_error()}")
