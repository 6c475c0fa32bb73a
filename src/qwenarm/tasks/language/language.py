"""A language's grammar: splits a text into tokens and derives sentences from them. Loaded on first use."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from qwenarm.tasks.language.typing_errors import nearest
from qwenarm.tasks.language.vocabulary import GRAMMAR_TERMINALS, NUMBER_VALUES

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.grammar import NonTerminal, Rule
    from lark.parsers.earley_common import Item

LANGUAGE_NAMES = {"en": "English", "es": "Spanish", "zh": "Chinese"}
SPANISH_WORDS = frozenset((
    "el", "la", "los", "las", "en", "del", "al", "pon", "ponga", "poner", "y", "de", "un", "una", "por", "cuántos",
    "cuántas", "cuantos", "cuantas", "hay", "hola", "cubo", "cubos", "bola", "bolas", "pelota", "torre", "ordena",
    "agrupa", "separa", "apila", "quiero",
))  # fmt: skip
"""Frequent words that do not occur in English sentences."""
ENGLISH_WORDS = frozenset(["the", "in", "on", "and", "put", "of", "to"])
"""Frequent words that do not occur in Spanish sentences."""
SENTENCE, CORRECTION = "start", "correction"
"""The rules of the grammars for a whole instruction, and for the words that correct one: "no, the other one"."""
UNKNOWN_WORD, MISPLACED_WORD = "UNKNOWN", "MISPLACED"
"""Token types of words that are not in the vocabulary, and of words that are in it only as part of a longer phrase."""
PUNCTUATION_MARKS = ",;:.?!"
SPELLING_VARIANTS = (
    ("’", "'"), ("can't", "can not"), ("n't", " not"), ("i'd", "i would"), ("let's", "let us"),
    ("that's", "that is"), ("'s", ""), ("colour", "color"), ("->", " to "), ("→", " to "), ("&", " and "),
    ("+", " and "), (" 1st", " first"), (" 2nd", " second"), (" 3rd", " third"),
    (" pair of ", " two "), (" couple of ", " two "), ("。", "."), ("、", ","), ("¿", ""), ("¡", ""),
    (" al ", " a el "), (" del ", " de el "),
)  # fmt: skip
"""Replacements that normalise the spelling."""
AFTER_A_PRONOUN = frozenset([
    *PUNCTUATION_MARKS, "and", "in", "into", "inside", "on", "onto", "upon", "to", "next", "beside", "near", "behind",
    "between",
    "y", "en", "sobre", "dentro", "encima", "a", "junto", "cerca", "delante", "detras", "entre",
])  # fmt: skip
"""What follows an article or a "this" that stands for a thing, and does not belong to a noun."""
DEMONSTRATIVES = frozenset(["this", "that", "these", "those"])
ONE_THING = frozenset(["una", "un"])
"""Articles that mean "one" if they stand for a thing."""
SAMPLES = {"en": {"NUMBER": "two", "AND": "and"}, "es": {"NUMBER": "dos", "Y": "y"}, "zh": {"NUMBER": "两"}}
"""Words of terminals that no grammar spells out."""
SIMPLIFIED = str.maketrans(
    "紅藍綠黃顏塊圓體裡裏進後邊個兩東請間盤擺疊這還從開離遠對調換類數顆幾",
    "红蓝绿黄颜块圆体里里进后边个两东请间盘摆叠这还从开离远对调换类数颗几",
)
"""Traditional Chinese characters to simplified ones."""


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
    words = set(units(text.lower()))
    return "es" if len(SPANISH_WORDS & words) > len(ENGLISH_WORDS & words) else "en"


@cache
def load_language(code: str) -> Language:
    return Language(code)


class Language:
    """The grammar of one language, read from ``grammars/CODE.lark``.

    Attributes:
        vocabulary: All (phrase, terminal) pairs.
        phrases: The terminal of each phrase.
        samples: A phrase of each terminal.
        values: What the words of COLOR, SHAPE and PLURAL name.
        words: All words that occur in phrases.
    """

    def __init__(self, code: str) -> None:
        from lark import Lark
        from lark.lexer import Lexer

        class Unused(Lexer):
            """Splits no text: ``lex`` does."""

            def __init__(self, _: object) -> None: ...

            def lex(self, _: object) -> Iterator[Token]:  # type: ignore[override]
                return iter(())

        grammar = files("qwenarm.tasks.language").joinpath("grammars", f"{code}.lark").read_text(encoding="utf-8")
        self.code = code
        self.values = {
            terminal: {self._spelled(word): meaning for word, meaning in words.items()}
            for terminal, words in GRAMMAR_TERMINALS[code].items()
        }
        starts = [SENTENCE, CORRECTION]
        self.parser = Lark(
            grammar, parser="earley", start=starts, lexer=Unused, ambiguity="explicit", ordered_sets=False
        )
        self._earley: Any = self.parser.parser.parser  # type: ignore[attr-defined]
        self._rules: defaultdict[NonTerminal, list[Rule]] = defaultdict(list)
        self._rules_before: defaultdict[str, defaultdict[NonTerminal, list[Rule]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for rule in self.parser.rules:
            for symbol in (rule.origin, *rule.expansion):
                symbol.name = str(symbol.name)  # lark leaves Tokens there, which are slow to compare
            self._rules[rule.origin].append(rule)
            for terminal in self._earley.FIRST[rule.expansion[0]]:
                self._rules_before[terminal.name][rule.origin].append(rule)
        self._ignored = frozenset(self.parser.ignore_tokens)
        vocabulary = _vocabulary(self.parser, self.values)
        self.vocabulary = tuple((self._spelled(phrase), terminal) for phrase, terminal in vocabulary)
        self.phrases = dict(self.vocabulary)
        named = {terminal: next(iter(words)) for terminal, words in GRAMMAR_TERMINALS[code].items()}
        self.samples = named | SAMPLES[code] | dict(re.findall(r'^(\w+): "([^"]+)"', grammar, re.MULTILINE))
        self._longest = max(len(units(phrase)) for phrase in self.phrases)
        self.words = frozenset(unit for phrase in self.phrases for unit in units(phrase) if unit[0].isalnum())

    def parse(self, tokens: Sequence[Token], start: str = SENTENCE) -> Tree:
        """Returns all derivations of a sentence, or of what ``start`` names, in one tree.

        Only rules that can begin with the next token are tried, a fraction of what lark would try. What else could
        stand where a sentence does not go on is what the rules expected there can begin with: none is empty.

        Raises lark's UnexpectedInput, with all that was expected at the first wrong token, if there are none.
        """
        from lark.exceptions import UnexpectedInput

        earley = copy(self._earley)  # sentences may be read at the same time
        earley.predictions, predict_and_complete = self._rules, earley.predict_and_complete
        column: list[set[Item]] = []

        def predict_upcoming(at: int, to_scan: set[Item], columns: Sequence[set[Item]], *rest: object) -> None:
            earley.predictions = self._rules_before[tokens[at].type if at < len(tokens) else ""]
            predict_and_complete(at, to_scan, columns, *rest)
            column[:] = to_scan, columns[at]

        earley.predict_and_complete = predict_upcoming
        try:
            return earley.parse(SimpleNamespace(lex=lambda _: iter(tokens)), start)
        except UnexpectedInput as failure:
            expected = [item.expect for items in column for item in items if item.expect]
            names = {terminal.name for symbol in expected for terminal in earley.FIRST[symbol]}
            failure.expected = names  # type: ignore[attr-defined]
            raise

    def lex(self, text: str, correct: bool = True) -> Lexed:
        """Splits a text into tokens. ``correct`` replaces unknown words by the nearest known ones."""
        known, corrections = list[str](), list[tuple[str, str]]()
        for typed in units(plain(text)):
            unit = self._spelled(typed)
            taken = nearest(unit, self.words) if correct and unit[0].isalpha() and unit not in self.words else None
            corrections += [(typed, taken)] if taken else []
            known.append(taken or unit)
        return Lexed(tuple(self._tokens(known)), tuple(known), tuple(dict.fromkeys(corrections)))

    def _spelled(self, word: str) -> str:
        """Returns a word as it is looked up: Spanish without accents, Chinese in simplified characters.

        The accent alone tells "está" ("is") and "esté" ("be") from "esta" and "este" ("this"), which are articles.
        """
        if self.code == "zh":
            return word.translate(SIMPLIFIED)
        if self.code == "en" or "está" in word or "esté" in word:
            return word
        return "".join(mark for mark in unicodedata.normalize("NFD", word) if not unicodedata.combining(mark))

    def _tokens(self, known: Sequence[str]) -> list[Token]:
        """Returns the longest phrases from left to right, without meaningless ones and marks at either end."""
        from lark import Token

        articles = {i for i, unit in enumerate(known) if self.phrases.get(unit) == "ARTICLE"}
        named = articles | {i for i, unit in enumerate(known) if unit in DEMONSTRATIVES}
        alone = {i for i in named if self.code != "zh" and {*known[i + 1 : i + 2]} <= AFTER_A_PRONOUN}
        places = [i for i in range(len(known)) if i not in articles - alone or self._in_phrase(known, i)]
        row, tokens, at = [known[i] for i in places], list[Token](), 0
        while at < len(row):
            lengths = range(min(self._longest, len(row) - at), 0, -1)
            length = next((n for n in lengths if self.joined(row[at : at + n]) in self.phrases), 1)
            phrase = self.joined(row[at : at + length])
            kind = self.phrases.get(phrase) or (MISPLACED_WORD if phrase in self.words else UNKNOWN_WORD)
            if length == 1 and places[at] in alone:
                kind = "ONE" if phrase in ONE_THING else MISPLACED_WORD
            mark = phrase in PUNCTUATION_MARKS and (not tokens or tokens[-1] == phrase)
            if kind not in self._ignored and not mark:
                tokens.append(Token(kind, phrase, start_pos=places[at]))
            at += length
        while tokens and tokens[-1] in (*PUNCTUATION_MARKS, "(", ")"):
            tokens.pop()
        return tokens

    def _in_phrase(self, known: Sequence[str], at: int) -> bool:
        """Returns whether an article belongs to a phrase with the words around it, as in "una de"."""
        spans = ((i, i + n) for n in range(2, self._longest + 1) for i in range(max(0, at - n + 1), at + 1))
        return any(self.joined(known[begin:end]) in self.phrases for begin, end in spans)

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
