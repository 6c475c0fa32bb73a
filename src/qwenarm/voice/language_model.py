"""Which words follow each other in instructions: a trigram model for the embedded recogniser.

It is counted over sentences that are drawn from the grammar of free words, the wordings of put, stack and sort, and the
instructions of all tasks with training seeds. A JSGF grammar would have to be regular; the grammar of free words is
recursive, and one written out to a useful depth has too many states to be searched while somebody waits.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from io import StringIO

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES
from qwenarm.registry import list_names, load
from qwenarm.tasks.core.events import InstructionUpdates
from qwenarm.tasks.core.goal import Setup
from qwenarm.tasks.language.language import Language, load_language
from qwenarm.tasks.language.phrases import put_phrase, sort_phrase, stack_phrase

PAUSE_CHARACTERS = (",", ":")
"""Marks that are heard as a short silence. They are words of the model."""
WORDING_COUNT, DERIVATION_COUNT, TASK_SEED_COUNT = 1500, 1000, 6
"""Sentences drawn for each of put, stack and sort; from the grammar; and seeds for each level of a task."""
MIN_DEPTH, MAX_DEPTH = 4, 7
"""Depth of the derivations: deeper ones are sentences that nobody says."""
BACKOFF_PROBABILITY = 0.2
"""Share of the probability that is left for sequences that were not drawn."""

Symbols = Sequence[tuple[bool, str]]
"""The right side of a grammar's rule: (is it a rule itself, name)."""


def sentences() -> list[list[str]]:
    """The sentences as words and pauses, the same ones at every call."""
    language = load_language("en")
    texts = [*_wordings(np.random.default_rng(0)), *_derivations(language), *_task_instructions()]
    texts += [phrase for phrase in language.phrases if phrase.isascii()]  # every word at least once
    return [words for text in texts if (words := spoken_words(text))]


def spoken_words(text: str) -> list[str]:
    """Words and pauses of a text as they are spoken, in British spelling: no digits, no quotation marks."""
    text = re.sub(r"\bcolor", "colour", text.lower()).replace(";", ",")
    words = re.findall(r"[a-z']+|[,:]", text)
    while words and words[-1] in PAUSE_CHARACTERS:
        words.pop()
    return words


def joined(words: Sequence[str]) -> str:
    """Words and pauses as a text: the inverse of ``spoken_words``."""
    return " ".join(words).replace(" ,", ",").replace(" :", ":").strip(",: ")


def arpa(drawn: Sequence[Sequence[str]]) -> str:
    """The trigram model of some sentences in the ARPA format. Needs pocketsphinx."""
    from pocketsphinx.lm import ArpaBoLM

    model, text = ArpaBoLM(add_start=True, discount_mass=BACKOFF_PROBABILITY), StringIO()
    model.logfile = StringIO()
    model.read_corpus(StringIO("\n".join(map(" ".join, drawn)) + "\n"))
    model.compute()
    model.write(text)
    return text.getvalue()


def _wordings(rng: np.random.Generator) -> Iterator[str]:
    """Wordings of put, stack and sort with every colour and shape."""

    def label(shapes: Sequence[str]) -> str:
        return f"{rng.choice(list(COLOR_RGB))} {rng.choice(list(shapes))}"

    for _ in range(WORDING_COUNT):
        yield put_phrase(rng, label(GRASPABLE_SHAPES), label((*CONTAINER_SHAPES, *GRASPABLE_SHAPES)))
        yield stack_phrase(rng, [label(GRASPABLE_SHAPES) for _ in range(int(rng.integers(2, 5)))])
        by, values = ("color", list(COLOR_RGB)) if rng.random() < 0.5 else ("shape", list(GRASPABLE_SHAPES))
        kinds = list(rng.permutation(values))[: int(rng.integers(2, 4))]
        own = by == "color" and rng.random() < 0.5
        yield sort_phrase(rng, by, {kind: label(CONTAINER_SHAPES) for kind in kinds}, own)


def _task_instructions() -> Iterator[str]:
    """The instructions of every task and level, also those that come later in an episode."""
    for name in list_names("tasks"):
        task = load("tasks", name)
        for level in range(1, len(task.levels) + 1):
            for seed in range(TASK_SEED_COUNT):
                yield from all_texts(task.build(np.random.default_rng(seed), level))


def all_texts(setup: Setup) -> Iterator[str]:
    """The instruction of an episode, and those that replace it on the way."""
    yield setup.instruction
    for event in setup.events:
        if isinstance(event, InstructionUpdates):
            yield from (phrase.text for phrase in event.phrases)


def _derivations(language: Language) -> Iterator[str]:
    """Random sentences of the grammar of free words."""
    rules: dict[str, list[Symbols]] = {}
    for rule in language.parser.rules:
        right = [(not symbol.is_term, symbol.name) for symbol in rule.expansion]
        rules.setdefault(rule.origin.name, []).append(right)
    phrases: dict[str, list[str]] = {}
    for phrase, terminal in language.vocabulary:
        if phrase.isascii():
            phrases.setdefault(terminal, []).append(phrase)
    depths, rng = _depths(rules), random.Random(0)

    def derive(name: str, depth: int) -> Iterator[str]:
        fits = [right for right in rules[name] if _depth(right, depths) <= max(depth, depths[name])]
        for is_rule, symbol in rng.choice(fits):
            yield from derive(symbol, depth - 1) if is_rule else (rng.choice(phrases[symbol]),)

    for _ in range(DERIVATION_COUNT):
        yield " ".join(derive("start", rng.randint(MIN_DEPTH, MAX_DEPTH)))


def _depths(rules: dict[str, list[Symbols]]) -> dict[str, int]:
    """The depth of the flattest derivation of every rule, found by relaxation."""
    depths = dict.fromkeys(rules, len(rules))
    while True:
        flatter = {name: min(_depth(right, depths) for right in rights) for name, rights in rules.items()}
        if flatter == depths:
            return depths
        depths = flatter


def _depth(right: Symbols, depths: dict[str, int]) -> int:
    return 1 + max((depths[symbol] for is_rule, symbol in right if is_rule), default=0)
