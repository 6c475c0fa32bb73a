"""A language's grammar: splits a text into tokens and derives sentences from them. Loaded on first use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from qwenarm.tasks.language.typing_errors import nearest
from qwenarm.tasks.language.vocabulary import GRAMMAR_TERMINALS, NUMBER_VALUES

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

LANGUAGE_NAMES = {"en": "English", "es": "Spanish", "zh": "Chinese"}
SPANISH_WORDS = frozenset(
    [
        "el",
        "la",
        "los",
        "las",
        "en",
        "del",
        "al",
        "pon",
        "ponga",
        "poner",
        "y",
        "de",
        "un",
        "una",
        "por",
        "cuántos",
        "cuántas",
    ]
)
"""Short words that do not occur in English sentences."""
UNKNOWN_WORD, MISPLACED_WORD = "UNKNOWN", "MISPLACED"
"""Token types of words that are not in the vocabulary, and of words that are in it only as part of a longer phrase."""
PUNCTUATION_MARKS = ",;:.?!"
SPELLING_VARIANTS = (
    ("’", "'"), ("can't", "can not"), ("n't", " not"), ("i'd", "i would"), ("let's", "let us"), ("'s", ""),
    ("colour", "color"), ("。", "."), ("、", ","), ("¿", ""), ("¡", ""),
    (" al ", " a el "), (" del ", " de el "),
)  # fmt: skip
"""Replacements that normalise the spelling."""


TERMINAL_SAMPLES = {"SHAPE": "cube", "COLOR": "red", "PLURAL": "cubes", "NUMBER": "two", "AND": "and"}


@dataclass(frozen=True)
class Lexed:
    """A text as tokens of a grammar.

    Attributes:
        tokens: Each with the index of its first unit as ``start_pos``.
        units: The words, numbers and marks that the tokens consist of.
        corrections: (typed, corrected) pairs of words.
    """

    tokens: tuple[Token, ...]
    units: tuple[str, ...]
    corrections: tuple[tuple[str, str], ...] = ()


def guess_language(text: str) -> str:
    """Returns the code of the language in LANGUAGE_NAMES that a text is most likely in."""
    if re.search("[\u4e00-\u9fff]", text):
        return "zh"
    return "es" if SPANISH_WORDS & set(re.findall(r"[^\W\d_]+", text.lower())) else "en"


@cache
def load_language(code: str) -> Language:
    return Language(code)


class Language:
    """The grammar of one language, read from ``grammars/CODE.lark``.

    Attributes:
        vocabulary: All (phrase, terminal) pairs.
        phrases: The terminal of each phrase.
        samples: The first phrase of each terminal.
        values: What the words of COLOR, SHAPE and PLURAL name.
        words: All words that occur in phrases.
    """

    def __init__(self, code: str) -> None:
        from lark import Lark
        from lark.lexer import Lexer

        class Ready(Lexer):
            """Passes on existing tokens."""

            def __init__(self, _: object) -> None: ...

            def lex(self, data: Iterable[Token]) -> Iterator[Token]:  # type: ignore[override]
                return iter(data)

        grammar = files("qwenarm.tasks.language").joinpath("grammars", f"{code}.lark").read_text(encoding="utf-8")
        self.code, self.values = code, GRAMMAR_TERMINALS[code]
        self.parser = Lark(grammar, parser="earley", lexer=Ready, ambiguity="explicit", ordered_sets=False)
        self._ignored = frozenset(self.parser.ignore_tokens)
        self.vocabulary = tuple(_vocabulary(self.parser, self.values))
        self.phrases = dict(self.vocabulary)
        self.samples = TERMINAL_SAMPLES | dict(re.findall(r'^(\w+): "([^"]+)"', grammar, re.MULTILINE))
        self._longest = max(len(units(phrase)) for phrase in self.phrases)
        self.words = frozenset(unit for phrase in self.phrases for unit in units(phrase) if unit[0].isalnum())

    def parse(self, tokens: Sequence[Token]) -> Tree:
        """Returns all derivations of a sentence in one tree. Raises lark's UnexpectedInput if there are none."""
        return self.parser.parse(list(tokens))  # type: ignore[arg-type]  # the lexer only passes them on

    def lex(self, text: str, correct: bool = True) -> Lexed:
        """Splits a text into tokens. ``correct`` replaces unknown words by the nearest known ones."""
        known, corrections = list[str](), list[tuple[str, str]]()
        for unit in units(plain(text)):
            taken = nearest(unit, self.words) if correct and unit[0].isalpha() and unit not in self.words else None
            corrections += [(unit, taken)] if taken else []
            known.append(taken or unit)
        return Lexed(tuple(self._tokens(known)), tuple(known), tuple(dict.fromkeys(corrections)))

    def _tokens(self, known: Sequence[str]) -> list[Token]:
        """Returns the longest phrases from left to right, without meaningless ones and marks at either end."""
        from lark import Token

        places = [i for i, unit in enumerate(known) if self.phrases.get(unit) != "ARTICLE"]
        row, tokens, at = [known[i] for i in places], list[Token](), 0
        while at < len(row):
            lengths = range(min(self._longest, len(row) - at), 0, -1)
            length = next((n for n in lengths if self.joined(row[at : at + n]) in self.phrases), 1)
            phrase = self.joined(row[at : at + length])
            kind = self.phrases.get(phrase) or (MISPLACED_WORD if phrase in self.words else UNKNOWN_WORD)
            mark = phrase in PUNCTUATION_MARKS and (not tokens or tokens[-1] == phrase)
            if kind not in self._ignored and not mark:
                tokens.append(Token(kind, phrase, start_pos=places[at]))
            at += length
        while tokens and tokens[-1] in (*PUNCTUATION_MARKS, "(", ")"):
            tokens.pop()
        return tokens

    def joined(self, row: Sequence[str]) -> str:
        """Joins units to one phrase."""
        return ("" if self.code == "zh" else " ").join(row)


def plain(text: str) -> str:
    """Returns a text in lower case and in the spelling of the grammars."""
    text = unicodedata.normalize("NFKC", text).lower()
    for typed, read_as in SPELLING_VARIANTS:
        text = text.replace(typed, read_as)
    return text


def units(text: str) -> list[str]:
    """Splits a text into words, numbers and marks; Chinese into characters."""
    return re.findall(r"[\u4e00-\u9fff]|[^\W\d_\u4e00-\u9fff]+|[0-9]+|[,;:.?!()]", text)


def _vocabulary(parser: Lark, values: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Yields every phrase of a grammar with its terminal."""
    for terminal in parser.terminals:
        if terminal.pattern.type == "str":
            yield terminal.pattern.value, terminal.name
            continue
        for phrase in terminal.pattern.value.removeprefix("(?:").removesuffix(")").split("|"):
            yield re.sub(r"\\(.)", r"\1", phrase), terminal.name
    for name, words in values.items():
        yield from ((word, name) for word in words)
    yield from ((word, "NUMBER") for word in NUMBER_VALUES)
    yield "1", "NUMBER"
