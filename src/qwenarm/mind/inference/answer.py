"""One answer while it is written, token by token: what may come next, what must, and when it ends.

Three ways. Free: anything up to a stop token or the limit. Constrained: a matcher of ``grammar.py`` says which tokens
may follow, and which must; those are appended without asking the model. Thinking: free up to </think>, then
constrained; a thought that reaches the limit or wants to stop is ended there.

The limit is where thoughts end and no further call is begun. A call that was begun is finished (it is bounded by its
grammar), so an answer is never cut off inside of one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np


class Answer:
    """The answer to one prompt.

    limit: tokens. stops: ids that end an answer. matcher: a fresh LLMatcher, or None for a free answer. thought_end:
    the id that ends the thoughts which come before what the matcher describes, or None.
    """

    def __init__(self, limit: int, stops: Collection[int], matcher: Any = None, thought_end: int | None = None) -> None:
        self.limit, self.stops, self.matcher, self.thought_end = limit, stops, matcher, thought_end
        self._clear()

    def _clear(self) -> None:
        self.tokens: list[int] = []
        """Written so far, without the token that stopped it."""
        self.finish = ""
        """"" while it is written, then "stop" or "length"."""
        self.spent = 0
        """Tokens in all, the stop included."""
        self._free = self.matcher is None or self.thought_end is not None

    def restart(self) -> None:
        """Back to where it had begun."""
        self._clear()
        if self.matcher is not None:
            self.matcher.reset()
        self.begin()

    def begin(self) -> list[int]:
        """The tokens that every such answer begins with."""
        return [] if self._free else self._follow()

    def allow(self, bits: np.ndarray) -> None:
        """Writes which tokens may come next, one bit each, into ``bits`` ((vocabulary + 31) // 32,) int32; all of them
        are set before.
        """
        if not self._free:
            mask = np.frombuffer(self.matcher.compute_bitmask(), np.int32)  # may be a word longer than needed
            bits[:] = mask[: len(bits)]
        elif self.thought_end is not None and len(self.tokens) + 1 >= self.limit:
            bits[:] = 0
            bits[self.thought_end // 32] = np.array(1 << self.thought_end % 32, np.uint32).view(np.int32)

    def take(self, token: int) -> list[int]:
        """The model's choice -> the tokens that it goes on from: the choice, and all that follows from it."""
        if self._free and self.thought_end is not None:
            return self._think(token)
        if not self._free:
            self._check(self.matcher.consume_token(token))
        self.spent += 1
        if token in self.stops:
            self.finish = "stop"
            return []
        self.tokens.append(token)
        if not self._free:
            return [token, *self._follow()]
        self.finish = "length" if len(self.tokens) >= self.limit else ""
        return [token]

    def _think(self, token: int) -> list[int]:
        assert self.thought_end is not None
        token = self.thought_end if token in self.stops else token
        self.spent += 1
        self.tokens.append(token)
        self._free = token != self.thought_end
        return [token] if self._free else [token, *self._follow()]

    def _follow(self) -> list[int]:
        """Takes what the grammar leaves no choice about."""
        forced: list[int] = []
        while more := self.matcher.compute_ff_tokens():
            self._check(self.matcher.consume_tokens(more))
            forced += more
        self.tokens += forced
        self.spent += len(forced)
        if self.matcher.is_stopped() or (len(self.tokens) >= self.limit and self.matcher.is_accepting()):
            self.finish = "stop"
        return forced

    def _check(self, taken: bool) -> None:
        if not taken:
            raise RuntimeError(f"The grammar refused a token that it had allowed: {self.matcher.get_error()}")
