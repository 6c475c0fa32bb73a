"""Where the tokens of an answer should look, found by comparing strings, without knowledge of any task.

Seven kinds of links are supervised as the attention of some heads (``learner.LINK_HEADS``):

* ``cells``: a point's two numbers, and a label that is not in the prompt, look at the cells of what is meant. So does
  the name of its call: whether to pick something up, or to give up because it is not there, is decided before its name.
* ``named``: the words of a label that is in the task (or else in the history) look at these words there. Of a label
  such as "place next to the red cube", which is not, it is the longest end that is: "red cube".
* ``bound``: in the task, the name of the place where a held thing goes looks at the nearest word before it that
  describes that thing, and that the task says once if there is such a word: "*red* ones in the **green tray**". In a
  note in the history ("blue ball at 445 660") the numbers look at the name before them, and so do those of an answer
  that needs the note.
* ``held``: a label looks at the words of the history for what was picked last: it is in the hand, or has just been
  placed. And the numbers of the "place of the red cube", where something else goes, look at those where the red cube
  was picked first.
* ``noted``: what the task asks for and a note places somewhere is looked up there by the numbers of an answer that
  names something else: the "cover of the blue ball". This takes a layer behind ``bound``: until its names are with
  the numbers, one note is like the other.
* ``beside``: the two numbers of a place that is named by a thing ("place next to the red cube") look at that thing.

How they are found: patterns search the answer for its points, and the prompt for the words that these are about. What
they match is a span of characters, ``Linker._tokens`` turns it into tokens, and each pair of a token that looks and one
that it looks at is a link. A token is predicted by the one before it, so that one looks. For the task "put the red cube
away" and the answer ``{"name": "pick", ... "label": "red cube", "point_2d": [445, 660]}``, the tokens before the
answer's "red" and "cube" look at these words of the task (``named``), and those before "pick", "445" and "660" look at
point 0 of the answer (``cells``), which ``batches.py`` turns into the cells of the picture under it.

For a prompt with two pictures of one size, ``same_place`` makes each cell of the second look at the same cell of the
first (``batches.py``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwenarm.tasks.language.typing_errors import nearest

LINK_KINDS = ("cells", "named", "bound", "held", "noted", "beside", "same_place")
Link = tuple[int, int]
"""(token that looks, token that it looks at). For the kinds "cells" and "beside" the second is the index of a point of
the answer."""
Links = dict[str, list[Link]]
"""Links by kind."""
Span = tuple[int, int]
"""Begin and end of a part of a text."""

CALL_PATTERN = re.compile(r'"name": "(\w+)"')
POINT_PATTERN = re.compile(r'"label": "([^"]*)", "point_2d": \[(\d+), (\d+)\]')
BESIDE_PATTERN = re.compile(r"place .+ the (\w+ \w+)")
"""The label of a place that is named by a thing."""
ORIGIN_PATTERN = re.compile(r"place of the (\w+ \w+)")
"""The label of the place where a thing was at the start."""
NOTE_CALL = '"say"'
NOTED_PATTERN = re.compile(r'(?:(?<=\bsay )|(?<=; )|(?<="))([^";:]+?) at (\d+) (\d+)(?=[;:"])')
"""A thing and its place in a note, in an answer ("text": "...") or in the history ("say ...: ok")."""
QUESTION_PATTERN = re.compile(r"\nTask: (.*)\nHistory: (.*)\nHand: (.*)")
LAST_PICK = re.compile(r".*\bpick ([^:]*?)(?: at \d+ \d+)?: ok")
WORD_PATTERN = re.compile(r"[^\W\d_]+|\d+")
PLACE_CALL = '"place"'


class Linker:
    """Finds the links of one answer.

    Args:
        text: Prompt and answer.
        answer: Where the answer begins in the text.
        spans: The part of the text that each token stands for; empty for the tokens of an image.
    """

    def __init__(self, text: str, answer: int, spans: Sequence[Span]) -> None:
        self.text, self.answer, self.spans = text, answer, spans

    def links(self) -> Links:
        """Returns the links by kind. The token before a word predicts it, so that token is the one that looks."""
        found: Links = {kind: [] for kind in LINK_KINDS}
        asked = QUESTION_PATTERN.search(self.text, 0, self.answer)
        pattern = NOTED_PATTERN if self.text.find(NOTE_CALL, self.answer) >= 0 else POINT_PATTERN
        for number, point in enumerate(pattern.finditer(self.text, self.answer)):
            label = self._tokens(point.span(1))
            looking = [(at - 1, number) for k in (2, 3) for at in self._tokens(point.span(k))]
            found["cells"] += [*looking, *((at - 1, number) for at in self._name_of_call(point.start()))]
            found["beside"] += looking if name_beside(point[1]) else []
            sections = (asked.span(1), asked.span(2)) if asked else ()
            spelt = self._spelt_first(point[1], sections)
            for span in spelt:
                found["named"] += [(at - 1, to) for at, to in _aligned(label, self._tokens(span))]
            if not spelt:
                found["cells"] += [(at - 1, number) for at in label]
                found["named"] += self._link_end(point.span(1), sections)
            if asked:
                self._link_rule(found, asked, label, spelt)
                self._link_notes(found, asked, point)
                self._link_origin(found, asked, point)
        return found

    def _name_of_call(self, point: int) -> list[int]:
        """Returns the tokens of the name of the call that a point belongs to."""
        *_, call = CALL_PATTERN.finditer(self.text, self.answer, point)
        return self._tokens(call.span(1))

    def _link_end(self, span: Span, sections: Sequence[Span]) -> list[Link]:
        """Links the longest end of a label that a section has, if it is two words or more and not the whole label."""
        for word in list(WORD_PATTERN.finditer(self.text, *span))[1:-1]:
            end = word.start(), span[1]
            if there := self._spelt_first(self.text[slice(*end)], sections):
                return [(at - 1, to) for at, to in _aligned(self._tokens(end), self._tokens(there[0]))]
        return []

    def _link_rule(self, found: Links, asked: re.Match[str], label: list[int], spelt: list[Span]) -> None:
        """Links a label to what was picked last, and a place to the words of the task that send such a thing there."""
        pick = LAST_PICK.match(self.text, *asked.span(2))
        if pick is None:
            return
        found["held"] += [(at - 1, to) for at in label for to in self._tokens(pick.span(1))]
        if asked[3] == "empty" or self.text.find(PLACE_CALL, self.answer) < 0:
            return
        said = [self._like(word, asked.span(1)) for word in WORD_PATTERN.findall(pick[1])]
        telling = [spans for spans in said if len(spans) == 1] or said
        for span in spelt:
            before = [words for spans in telling for words in spans if words[1] <= span[0] < asked.end(1)]
            if before:
                found["bound"] += [(at, to) for at in self._tokens(span) for to in self._tokens(max(before))]

    def _link_notes(self, found: Links, asked: re.Match[str], point: re.Match[str]) -> None:
        """Links the numbers of an answer to the noted ones of what the task asks for, if it names something else."""
        for noted in NOTED_PATTERN.finditer(self.text, *asked.span(2)):
            name = self._tokens(noted.span(1))
            found["bound"] += [(at, to) for k in (2, 3) for at in self._tokens(noted.span(k)) for to in name]
            if noted[1] == point[1] or not self._spelt(noted[1], asked.span(1)):
                continue
            own_name = [to for span in self._spelt(noted[1], point.span(1)) for to in self._tokens(span)]
            for k in (2, 3):
                looking = [at - 1 for at in self._tokens(point.span(k))]
                found["bound"] += [(at, to) for at in looking for to in own_name]
                found["noted"] += [(at, to) for at in looking for to in self._tokens(noted.span(k))]

    def _link_origin(self, found: Links, asked: re.Match[str], point: re.Match[str]) -> None:
        """Links the numbers of the place where a thing was to those of its first pick in the history."""
        origin = ORIGIN_PATTERN.fullmatch(point[1])
        if origin is None:
            return
        pick = re.compile(rf"\bpick {re.escape(origin[1])} at (\d+) (\d+)")
        if picked := pick.search(self.text, *asked.span(2)):
            for own, there in ((2, 1), (3, 2)):
                looking, seen = self._tokens(point.span(own)), self._tokens(picked.span(there))
                found["held"] += [(at - 1, to) for at in looking for to in seen]

    def _tokens(self, span: Span) -> list[int]:
        """Returns the tokens that overlap a part of the text."""
        return [i for i, (begin, end) in enumerate(self.spans) if begin < span[1] and end > span[0]]

    def _spelt(self, words: str, section: Span) -> list[Span]:
        """Returns where a section of the text has exactly these words, or else these words with typing errors."""
        if exact := [found.span() for found in re.compile(rf"\b{re.escape(words)}\b").finditer(self.text, *section)]:
            return exact
        wanted, there = WORD_PATTERN.findall(words), list(WORD_PATTERN.finditer(self.text, *section))
        runs = [there[i : i + len(wanted)] for i in range(len(there) - len(wanted) + 1)]
        return [
            (run[0].start(), run[-1].end())
            for run in runs
            if run and all(_meant(typed[0], word) for typed, word in zip(run, wanted, strict=True))
        ]

    def _spelt_first(self, words: str, sections: Sequence[Span]) -> list[Span]:
        """Returns where the first section that has these words has them."""
        return next(filter(None, (self._spelt(words, section) for section in sections)), [])

    def _like(self, word: str, section: Span) -> list[Span]:
        """Returns the words of a section that are this one, its plural, or either with a typing error."""
        there = WORD_PATTERN.finditer(self.text, *section)
        return [found.span() for found in there if any(_meant(found[0], word + end) for end in ("", "s", "es"))]


def name_beside(label: str) -> str:
    """Returns the colour and shape of the thing by which a place is named, or ""."""
    found = BESIDE_PATTERN.fullmatch(label)
    return found[1] if found and not ORIGIN_PATTERN.fullmatch(label) else ""


def _meant(typed: str, word: str) -> bool:
    """Returns whether a word is another one, or that with a typing error."""
    return typed == word or nearest(typed, [word]) == word


def _aligned(label: list[int], there: list[int]) -> list[Link]:
    """Links word by word if both have the same number of tokens, otherwise every token with every token."""
    if len(label) == len(there):
        return list(zip(label, there, strict=True))
    return [(at, to) for at in label for to in there]
