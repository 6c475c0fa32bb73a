"""Reads an instruction in free words as a wish, with a grammar that must derive all of it.

A sentence that cannot be derived is not judged: the result then says which word is not understood, and what could
stand in its place. An ambiguous sentence is not judged either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from qwenarm.errors import BadInput
from qwenarm.tasks.language.check_wish import check, check_scene
from qwenarm.tasks.language.language import (
    MISPLACED_WORD,
    UNKNOWN_WORD,
    Language,
    Lexed,
    guess_language,
    load_language,
    plain,
    units,
)
from qwenarm.tasks.language.meaning import Meanings
from qwenarm.tasks.language.misfit import Misfit, unknown
from qwenarm.tasks.language.resolve import resolve
from qwenarm.tasks.language.typing_errors import NEVER_CORRECTED
from qwenarm.tasks.language.wish import Thing, Wish, things

if TYPE_CHECKING:
    from lark.exceptions import UnexpectedInput

MAX_TOKENS = 250
"""Maximum number of tokens of a text that is read."""
MAX_SUGGESTED_PHRASES = 6
"""Maximum number of suggestions of words that would be understood."""
SUGGESTED_FIRST = ("_PUT", "_STACK", "_SORT", "_SWAP", "_HOW_MANY")
"""What a sentence may begin with."""
SUGGESTED_LATER = ("_IN", "_ON", "_BESIDE", "_IN_FRONT_OF", "SHAPE", "COLOR", "_EVERYTHING", "_ALL")
"""What may follow."""
NOUN_TERMINALS = frozenset(("SHAPE", "PLURAL", "THING", "THINGS", "ONE", "ONES", "CONTAINER"))
ADJECTIVE_TERMINALS = frozenset(
    ("COLOR", "BIG", "SMALL", "LEFTMOST", "RIGHTMOST", "MIDDLE", "NUMBER", "_EVERY", "_EACH")
)
ARTICLE_WORDS = frozenset(["the", "a", "an", "my", "your", "el", "la", "los", "las", "un", "una"])
INDEFINITE_ARTICLES = frozenset(["a", "an", "un", "una"])
QUESTION_OPENERS = frozenset((
    "should", "shall", "might", "does", "did", "is", "are", "was", "were", "has", "have", "had", "what", "which",
    "where", "who", "how", "why", "when", "qué", "cuál", "dónde", "quién", "cómo", "cuándo", "está", "hay",
))  # fmt: skip
"""A sentence that begins with one of these is a question, as is any other that ends with a question mark."""
REPORTING_VERBS = frozenset(["tell", "say", "show", "dime", "di", "muéstrame"])
"""An instruction that begins with one of these and goes on with a question is one, too."""
CHINESE_QUESTION = frozenset("哪谁什怎")
"""Characters that occur in Chinese question words."""
KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\uac00-\ud7af]")
REQUEST_VERBS = frozenset(
    ["could", "can", "would", "will", "do", "puedes", "podrías", "puede", "podría", *"请能可帮把"]
)
"""A question that begins with one of these may be a request."""


@dataclass(frozen=True)
class UnderstoodSentence:
    """What was understood of an instruction.

    Attributes:
        wish: Empty if the sentence is not judged.
        why: Why it is not judged.
        named: The single things it names, in order.
        text: The sentence; if it was understood, in lower case and without typing errors.
        corrections: (typed, corrected) pairs of words.
        language: Code of the language in which it was read.
    """

    wish: Wish
    why: str
    named: tuple[Thing, ...]
    text: str
    corrections: tuple[tuple[str, str], ...]
    language: str

    def __str__(self) -> str:
        told = "".join(f" ('{typed}' taken for '{taken}')" for typed, taken in self.corrections)
        return "; ".join(map(str, self.wish)) + told


@dataclass(frozen=True)
class Derived:
    """The possible wishes of a sentence. If there are none, lark's ``failure`` or the ``misfits`` say why."""

    wishes: tuple[Wish, ...]
    failure: UnexpectedInput | None = None
    misfits: tuple[Misfit, ...] = ()


@lru_cache(maxsize=4096)
def read(instruction: str) -> UnderstoodSentence:
    """Reads an instruction, or says which part of it is not understood.

    Raises BadInput if it is empty, names something unknown, contradicts itself, or asks for something impossible.
    """
    if not any(unit[0].isalnum() for unit in units(instruction)):
        raise BadInput("The instruction is empty: say what to do, as in 'put the red cube in the blue bowl'.")
    language = load_language(guess_language(instruction))
    lexed = language.lex(instruction)
    derived = _derive(language, lexed)
    if len(derived.wishes) == 1:
        text = _corrected(instruction, lexed.corrections)
        (wish,) = derived.wishes
        return UnderstoodSentence(wish, "", tuple(things(wish)), text, lexed.corrections, language.code)
    why, named = _why(language, instruction, lexed, derived), tuple(_mentioned(language, lexed))
    return UnderstoodSentence((), why, named, instruction, (), language.code)


def _derive(language: Language, lexed: Lexed) -> Derived:
    from lark.exceptions import UnexpectedInput

    if len(lexed.tokens) > MAX_TOKENS:
        return Derived((), misfits=(Misfit(f"it has more than {MAX_TOKENS} words", possible=True),))
    try:
        tree = language.parse(lexed.tokens)
    except UnexpectedInput as failure:
        return Derived((), failure)
    meanings, wishes, indefinite = Meanings(language.values), list[Wish](), frozenset(_indefinite(lexed))
    for sentence in meanings.of(tree):
        try:
            wishes.append(check(resolve(sentence.commands, sentence.in_order, indefinite), sentence.in_order))
        except Misfit as misfit:
            meanings.misfits.append(misfit)
    wishes = list(dict.fromkeys(wishes))
    if len(wishes) == 1:
        try:
            check_scene(wishes[0])
        except Misfit as misfit:
            return Derived((), misfits=(misfit,))
    return Derived(tuple(wishes), misfits=tuple(meanings.misfits))


def _indefinite(lexed: Lexed) -> Iterator[int]:
    """Yields the positions of the nouns with an article like "a"."""
    for at, noun in enumerate(lexed.tokens):
        begin = at
        while begin > 0 and lexed.tokens[begin - 1].type in ADJECTIVE_TERMINALS:
            begin -= 1
        start = lexed.tokens[begin].start_pos or 0
        if noun.type in NOUN_TERMINALS and start and lexed.units[start - 1] in INDEFINITE_ARTICLES:
            yield noun.start_pos or 0


def _mentioned(language: Language, lexed: Lexed) -> Iterator[Thing]:
    """Yields the things that a sentence which is not understood names by colour and shape."""
    found = set[tuple[str, str]]()
    for color, noun in pairwise(lexed.tokens):
        if color.type == "COLOR" and noun.type == "SHAPE":
            found.add((language.values["COLOR"][color], language.values["SHAPE"][noun]))
    yield from (Thing(color, shape) for color, shape in sorted(found))


def _corrected(instruction: str, corrections: Sequence[tuple[str, str]]) -> str:
    """Returns the sentence in lower case and without typing errors."""
    text = instruction.lower()
    for typed, taken in corrections:
        text = re.sub(rf"\b{re.escape(typed)}\b", taken, text)
    return text


def _why(language: Language, instruction: str, lexed: Lexed, derived: Derived) -> str:
    """Returns why a sentence is not judged. Raises BadInput if no reading of it can be done."""
    if derived.wishes:
        two = " or ".join(f"'{'; '.join(map(str, wish))}'" for wish in derived.wishes[:2])
        return f"it can mean {two}"
    if derived.failure is None:
        for misfit in derived.misfits:
            if not misfit.possible:
                raise BadInput(str(misfit))
        return str(derived.misfits[0])
    row = units(plain(instruction))
    if _is_question(row):
        return "it is a question, and 'how many ... are there?' is the only one that is answered"
    known = [unit for unit in row if unit[0].isalpha() and unit in language.words]
    if KANA_OR_HANGUL.search(instruction) or (
        2 * len(known) < sum(unit[0].isalpha() for unit in row) > 1 and "the" not in row
    ):
        return f"{_stuck(language, instruction, lexed, derived.failure)} (only English, Spanish and Chinese are read)"
    return _stuck(language, instruction, lexed, derived.failure)


def _is_question(row: Sequence[str]) -> bool:
    """Returns whether the words and marks of a sentence ask for an answer, not for something to be done."""
    return bool(
        row[0] in QUESTION_OPENERS
        or (row[0] in REPORTING_VERBS and QUESTION_OPENERS & set(row[1:3]))
        or CHINESE_QUESTION & set(row)
        or row[:2] == ["do", "you"]
        or "".join(row).startswith("有没有")
        or (row[-1] in "?吗" and not REQUEST_VERBS & set(row))
    )


def _stuck(language: Language, instruction: str, lexed: Lexed, failure: UnexpectedInput) -> str:
    """Returns which words are not understood, and which would be. Raises BadInput if they name something unknown."""
    tokens, expected = lexed.tokens, frozenset[str](getattr(failure, "expected", ()))
    found = getattr(failure, "token", None)
    at = next((i for i, token in enumerate(tokens) if token is found), len(tokens))
    samples = f"what fits here: {', '.join(_suggestions(language, expected, at))}"
    if at == len(tokens):
        return f"{f'something is missing after {tokens[-1].value!r}' if tokens else 'what to do is missing'}; {samples}"
    typed = language.lex(instruction, correct=False)
    if expected & NOUN_TERMINALS and (name := _missing_thing(language, typed, tokens[at].start_pos or 0)):
        raise BadInput(unknown(name))
    end = at + 1
    while end < len(tokens) and {tokens[at].type, tokens[end].type} <= {UNKNOWN_WORD, MISPLACED_WORD}:
        end += 1
    as_typed = {taken: word for word, taken in lexed.corrections}
    words = [as_typed.get(word, word) for token in tokens[at:end] for word in units(token)]
    return f"'{language.joined(words)}' is not understood here; {samples}"


def _missing_thing(language: Language, lexed: Lexed, position: int) -> str:
    """Returns the name of an unknown thing at the position, or "" if there is none.

    A name follows an article or a colour, and is not followed by a known noun.
    """
    tokens = lexed.tokens
    begin = at = next(i for i, token in enumerate(tokens) if (token.start_pos or 0) >= position)
    while begin > 0 and tokens[begin - 1].type in ADJECTIVE_TERMINALS:
        begin -= 1
    end = at
    while end < len(tokens) and tokens[end].type in (UNKNOWN_WORD, MISPLACED_WORD, *ADJECTIVE_TERMINALS):
        end += 1
    before = lexed.units[(tokens[begin].start_pos or 0) - 1] if tokens[begin].start_pos else ""
    leads = begin < at or before in ARTICLE_WORDS
    known = (
        tokens[end - 1].type != UNKNOWN_WORD
        or tokens[end - 1] in NEVER_CORRECTED
        or (end < len(tokens) and tokens[end].type in NOUN_TERMINALS)
    )
    return (
        language.joined(tokens[begin:end])
        if leads and not known and tokens[at].type in (UNKNOWN_WORD, MISPLACED_WORD)
        else ""
    )


def _suggestions(language: Language, expected: Collection[str], at: int) -> list[str]:
    """Returns phrases for some of the terminals that would be understood at a token, words before marks."""
    common = SUGGESTED_FIRST if at == 0 else SUGGESTED_LATER
    order = [name for name in common if name in expected] or sorted(expected)
    phrases = {name: language.samples[name] for name in order if name in language.samples}
    return sorted(phrases.values(), key=lambda phrase: not phrase[0].isalnum())[:MAX_SUGGESTED_PHRASES]
