"""The goals of recall: to bring a covered object, or to answer a question about covered objects."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.state import WorldState
from qwenarm.tasks import Arrange, CalledObject, Move, PlacesNote, left_to_right, plan_moves
from qwenarm.tasks.language.read_answer import last_said, named, numbers
from qwenarm.tasks.recall.events import CoverMotion
from qwenarm.types import SkillCall


def note_and_look(state: WorldState, covers: CoverMotion) -> list[SkillCall]:
    """Returns what to do before the request: note once where things are, for the covers will hide them, and wait.

    Nothing more can be planned, for it is not known yet what will be asked.
    """
    things = [name for name, thing in state.objects.items() if thing.spec.graspable and name not in covers.covers]
    note = SkillCall("say", {"text": PlacesNote(tuple(left_to_right(state, things)))})
    return [SkillCall("look")] if state.said else [note, SkillCall("look")]


@dataclass(frozen=True)
class BringCovered:
    """The covered object is in its place, and no cover but its own was touched."""

    covers: CoverMotion
    cover: str  # id of the right one
    put: Arrange

    def success(self, state: WorldState) -> bool:
        return self._is_fair() and bool(self.covers.stage) and self.put.success(state)

    def progress(self, state: WorldState) -> float:
        """Counts a third for lifting the right cover, the rest for the object. Touching another cover halves it."""
        if self.success(state):
            return 1.0
        lifted = len(self.covers.opened & {self.cover})
        done = (lifted + 1.8 * self.put.progress(state) * self.covers.stage) / 3
        return done if self._is_fair() else done / 2

    def solve(self, state: WorldState) -> list[SkillCall]:
        if not self.covers.stage:
            return note_and_look(state, self.covers)
        hidden = self.covers.is_over(state, self.cover) or state.holding == self.cover
        uncover: list[Move] = [(self.cover, None)] if hidden else []
        put: list[Move] = [(relation.what, relation.where) for relation in self.put.relations]
        calls = plan_moves(state, [] if self.success(state) else [*uncover, *put])
        return [self._by_what_it_hides(state, call) for call in calls]

    def _by_what_it_hides(self, state: WorldState, call: SkillCall) -> SkillCall:
        """Names the cover as the request does: nobody has said its colour, only what is under it."""
        if call.args.get("at") != self.cover:
            return call
        hidden = state[self.put.relations[0].what].spec.label
        return replace(call, args={"at": CalledObject(self.cover, f"cover of the {hidden}")})

    def _is_fair(self) -> bool:
        return not self.covers.spoiled and self.covers.opened <= {self.cover}


@dataclass(frozen=True)
class AnswerAboutCovers:
    """The last thing that was said is the right answer, and no cover was touched."""

    covers: CoverMotion
    cover: ObjectSpec | None  # the cover that was asked about; None if all were
    right: ObjectSpec | int  # the object under it, or the number of objects

    def success(self, state: WorldState) -> bool:
        untouched = not self.covers.spoiled and not self.covers.opened and state.holding is None
        answer = last_said(state.said[self.covers.calls_before :])
        return bool(self.covers.stage) and untouched and self.accepts(answer)

    def progress(self, state: WorldState) -> float:
        """Counts the right answer as 1, and nothing else."""
        return float(self.success(state))

    def solve(self, state: WorldState) -> list[SkillCall]:
        if not self.covers.stage:
            return note_and_look(state, self.covers)
        answer = str(self.right) if isinstance(self.right, int) else f"a {self.right.label}"
        return [*([] if self.success(state) else [SkillCall("say", {"text": answer})]), SkillCall("done")]

    def accepts(self, text: str) -> bool:
        """Returns whether this is the right answer. It may also name the cover that was asked about."""
        if isinstance(self.right, int):
            return numbers(text) == {self.right}
        colors, shapes = named(text)
        others = {self.cover.color} if self.cover else set()
        return self.right.color in colors <= {self.right.color, *others} and shapes - {"cover"} == {self.right.shape}
