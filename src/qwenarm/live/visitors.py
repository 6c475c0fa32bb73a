"""Many visitors, one arm: one of them plays, the others watch, and a queue says whose turn is next."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

AWAY_S = 10.0
"""A player whose page has been closed for so long loses the turn; a reload is quicker."""
IDLE_S = 30.0
"""A player who does nothing for so long between runs loses the turn, if somebody waits."""


class Visitors:
    """Who is there, who plays and who waits. clock: seconds, for tests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._pages = clock, Counter[str]()
        self.player, self.waiting = "", list[str]()
        self._active_at = self._gone_at = 0.0

    def __len__(self) -> int:
        return len(self._pages)

    def enter(self, visitor: str) -> None:
        """A page of this visitor has been opened."""
        self._pages[visitor] += 1

    def leave(self, visitor: str) -> None:
        """A page of this visitor has been closed."""
        self._pages[visitor] -= 1
        if self._pages[visitor] <= 0:
            del self._pages[visitor]
            if visitor in self.waiting:
                self.waiting.remove(visitor)
            if visitor == self.player:
                self._gone_at = self._clock()

    def may_play(self, visitor: str) -> bool:
        """Whether it is this visitor's turn. Where nobody plays or waits, it is whoever acts first."""
        if not self.player and not self.waiting:
            self.player = visitor
        if visitor == self.player:
            self._active_at = self._clock()
        return visitor == self.player

    def ask(self, visitor: str) -> None:
        """Puts a visitor at the end of the queue."""
        if not self.may_play(visitor) and visitor not in self.waiting:
            self.waiting.append(visitor)

    def pass_on(self) -> None:
        """The player gives up the turn."""
        self.player = self.waiting.pop(0) if self.waiting else ""
        self._active_at = self._clock()

    def update(self, busy: bool) -> bool:
        """Passes the turn on if the player is away or idle; says whether it did. busy: whether a run goes on."""
        now, away = self._clock(), self.player not in self._pages
        gone = away and now - self._gone_at > AWAY_S
        idle = bool(self.waiting) and not busy and now - self._active_at > IDLE_S
        if busy:
            self._active_at = now
        if self.player and (gone or idle):
            self.pass_on()
            return True
        return False

    def place(self, visitor: str) -> int:
        """0 for the player, the place in the queue for who waits, -1 for who only watches."""
        if visitor == self.player:
            return 0
        return self.waiting.index(visitor) + 1 if visitor in self.waiting else -1
