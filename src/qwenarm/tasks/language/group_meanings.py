"""The meanings of the rules for groups: all of a kind, so many of them, those but some, the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qwenarm.tasks.language.misfit import Misfit
from qwenarm.tasks.language.name_meanings import ALREADY_MOVED, ANY_SHAPE, NameMeanings, Quality, flat
from qwenarm.tasks.language.wish import Group, Named, Thing

if TYPE_CHECKING:
    from lark import Token


class GroupMeanings(NameMeanings):
    """Evaluates names of groups in one language."""

    def class_(self, *parts: Quality | Token) -> Group:
        (noun,) = [part for part in parts if isinstance(part, str)]
        of = self._qualities(parts, noun)
        if of.keys() - {"color", "on the table"}:
            raise Misfit(f"several {noun} can only be told by their colour, or by which are left out", possible=True)
        return Group(of.get("color"), self._shape(noun))

    def so_many_(self, *number: Token) -> Group:
        count = self._number(number[0]) if number else 1
        return Group(shape=ANY_SHAPE, count=count, choice=count == 1)

    def colors_(self, word: Token) -> Group:
        return Group(self.values["COLORS"][word], ANY_SHAPE)

    def one_of_kind_(self, noun: Token) -> Group:
        return replace(self.class_(noun), count=1, choice=True)

    def all_of_(self, group: Group) -> Group:
        return group

    def everything_(self, *color: Token) -> Group:
        return Group(self.values["COLOR"][color[0]] if color else None)

    def counted_(self, number: Token, group: Group) -> Group:
        return replace(group, count=self._number(number), choice=self._number(number) == 1)

    def both_(self, group: Group) -> Group:
        return replace(group, count=2)

    def some_of_(self, number: Token, group: Group) -> Group:
        return replace(group, count=self._number(number), choice=True)

    def some_of_total_(self, number: Token, total: Token, group: Group) -> Group:
        return replace(self.some_of_(number, group), total=self._number(total))

    def of_total_(self, total: Token, group: Group, number: Token) -> Group:
        return self.some_of_total_(number, total, group)

    def one_of_total_(self, total: Token, group: Group) -> Group:
        return replace(self.one_of_(group), total=self._number(total))

    def other_so_many_(self, number: Token, group: Group | None = None) -> Group:
        return replace(self.some_of_(number, group or Group(shape=ANY_SHAPE)), but=(ALREADY_MOVED,))

    def one_of_(self, *parts: Group | Token) -> Group:
        (group,) = [part for part in parts if isinstance(part, Group)]
        return replace(group, count=1, choice=True)

    def all_but_one_(self, group: Group) -> Group:
        return replace(group, spared=1)

    def all_but_(self, group: Group, spared: Sequence[Named]) -> Group:
        if tuple(spared) == (Thing(shape=ANY_SHAPE),):
            return self.all_but_one_(group)
        return replace(group, but=tuple(_spared(each, group) for each in spared))

    def unlike_(self, *parts: Group | Token) -> Group:
        """Returns "the cubes that are not red"."""
        (group,) = [part for part in parts if isinstance(part, Group)]
        (color,) = [self.values[part.type][part] for part in parts if isinstance(part, str)]
        if group.color:
            raise Misfit(f"it is not clear which '{group}' are not {color}", possible=True)
        return self.all_but_(group, (Group(color, group.shape),))

    def everything_unlike_(self, color: Token) -> Group:
        return self.unlike_(Group(), color)

    def the_rest_(self) -> Group:
        return Group(but=(ALREADY_MOVED,))

    def the_others_(self) -> Group:
        return Group(shape=ANY_SHAPE, but=(ALREADY_MOVED,))

    def rest_of_(self, group: Group) -> Group:
        return replace(group, but=(ALREADY_MOVED,))

    def every_(self, *groups: Group) -> tuple[Group, ...]:
        return groups

    def counted_every_(self, number: Token, group: Group) -> tuple[Group, ...]:
        return (self.counted_(number, group),)

    def everything_but_(self, spared: Sequence[Named]) -> Group:
        return self.all_but_(Group(), spared)

    def but_all_(self, spared: Sequence[Named], group: Group) -> Group:
        return self.all_but_(group, spared)

    but_everything_ = everything_but_

    def list_(self, *parts: Named | tuple[Thing, ...]) -> tuple[Named, ...]:
        return flat(parts)

    what_ = ordered_ = those_ = list_


def _spared(named: Named, group: Group) -> Named:
    """Returns what is left out of a group. Raises Misfit unless it is a part of the group and leaves something."""
    if isinstance(named, Thing):
        thing = replace(named, shape=group.shape) if named.shape == ANY_SHAPE else named
        if group.shape not in (None, thing.shape) or group.color not in (None, thing.color):
            raise Misfit(f"'{thing}' is not one of '{group}'", possible=True)
        return thing
    shape = group.shape if named.shape in (None, ANY_SHAPE) else named.shape
    part, plain = Group(named.color or group.color, shape), named == Group(named.color, named.shape)
    if not plain or part == group or group.color not in (None, part.color) or group.shape not in (None, part.shape):
        raise Misfit(f"it is not clear what is left of '{group}' without '{named}'", possible=True)
    return part
