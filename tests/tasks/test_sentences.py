"""Every sentence of the corpus is read as its wish, or not at all; what the project writes itself is read back."""

import csv
import re
import time
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.test_goals import strict

from qwenarm.errors import BadInput
from qwenarm.factory import prepare
from qwenarm.perturbations.words import POLITE_FRAMES, SYNONYM_OF, paraphrased
from qwenarm.registry import load
from qwenarm.tasks import Arrange
from qwenarm.tasks.core.goal import initial_state
from qwenarm.tasks.language.ground import goal_of
from qwenarm.tasks.language.language import LANGUAGE_NAMES, load_language
from qwenarm.tasks.language.meaning import Meanings
from qwenarm.tasks.language.phrases import (
    PUT_TEMPLATES,
    SORT_TEMPLATES,
    STACK_TEMPLATES,
    put_phrase,
    sort_phrase,
    stack_phrase,
)
from qwenarm.tasks.language.read_instruction import read
from qwenarm.tasks.language.typing_errors import nearest
from qwenarm.types import RunConfig

with (Path(__file__).parent / "sentences.tsv").open(encoding="utf-8", newline="") as file:
    CORPUS = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
MAX_READING_S = 0.05
"""Processor time that the reading of a sentence of everyday length may take."""


def understood(sentence, read=read):
    """What the corpus would say of it."""
    try:
        reading = read(sentence)
    except BadInput as error:
        return f"refused: {error}"
    return str(reading) if reading.wish else f"unjudged: {reading.why}"


def outcome(text):
    return text.partition(":")[0] if text.startswith(("unjudged:", "refused:")) else "read"


def as_expected(got, expected):
    if outcome(expected) == "read":
        return got == expected
    return outcome(got) == outcome(expected) and expected.partition(": ")[2] in got


@pytest.mark.parametrize("language", sorted({language for language, *_ in CORPUS}))
def test_every_sentence_is_read_as_its_wish_or_not_at_all(language):
    """One test for all of them: a test for each took longer to report than to run."""
    found = [(row[2], understood(row[2]), row[3]) for row in CORPUS if row[0] == language]
    wrong = [f"{sentence!r}: {got!r}, not {want!r}" for sentence, got, want in found if not as_expected(got, want)]
    assert not wrong, "\n".join(wrong)


def test_the_corpus_is_large_and_its_reading_is_quick(capsys):
    counts = {language: dict.fromkeys(("read", "unjudged", "refused"), 0) for language, *_ in CORPUS}
    seconds = []
    for language, *_, expected in CORPUS:
        counts[language][outcome(expected)] += 1
    for _, _, sentence, _ in CORPUS[::5]:
        began = time.process_time()
        understood(sentence, read.__wrapped__)  # not from the cache, which the next tests need
        seconds.append(time.process_time() - began)
    with capsys.disabled():
        print(f"\n{counts}; median {1000 * np.median(seconds):.0f} ms, longest {1000 * max(seconds):.0f} ms")
    assert len(CORPUS) >= 300 and len({sentence for _, _, sentence, _ in CORPUS}) == len(CORPUS)
    assert all(counts[language]["read"] >= 30 for language in LANGUAGE_NAMES)
    assert np.quantile(seconds, 0.95) < MAX_READING_S


def test_what_a_reading_says_is_read_as_the_same_wish():
    for _, _, sentence, expected in CORPUS:
        if outcome(expected) == "read":
            wish = read(sentence).wish
            assert read("; ".join(map(str, wish))).wish == wish, sentence


@pytest.mark.parametrize("frame", ["{}!", "hello! could you {}? thank you!"])
def test_capitals_and_courtesy_change_no_wish(frame):
    for language, kind, sentence, expected in CORPUS[::3]:
        if (
            language == "en"
            and kind in ("plain", "beside", "groups", "quantities", "towers")
            and outcome(expected) == "read"
        ):
            polite = frame.format(re.sub(r"[.!?]+$", "", sentence)).upper()
            assert read(polite).wish == read(sentence).wish, polite


CHANGING = {
    "en": ("not", "or", "unless", "except", "under", "at least"),
    "es": ("no", "o", "si"),
    "zh": ("不", "或", "如果"),
}
"""Words that change a wish wherever they stand."""


@pytest.mark.parametrize("language", CHANGING)
def test_a_word_that_changes_the_wish_leaves_nothing_to_be_judged(language):
    wishes = [row[2] for row in CORPUS if row[0] == language and outcome(row[3]) == "read"]
    for sentence in wishes[::25]:
        parts = list(sentence) if language == "zh" else sentence.split()
        for word in CHANGING[language]:
            for place in range(len(parts) + 1):
                changed = ("" if language == "zh" else " ").join([*parts[:place], word, *parts[place:]])
                assert outcome(understood(changed)) != "read", changed


def wanted(task, setup):
    """The goal that the instruction of a family means, or None if nobody should be able to read one in it."""
    if task == "deliver":
        return Arrange(setup.goal.orders[:1])
    if task == "refuse":
        return setup.goal.goal if setup.goal.right == "do" else None
    return setup.goal


def meant(text, scene):
    try:
        return strict(goal_of(read(text).wish, scene))
    except BadInput:
        return None


@pytest.mark.parametrize("language", LANGUAGE_NAMES)
@pytest.mark.parametrize("task", ["put", "stack", "sort", "deliver", "refuse"])
def test_what_the_families_say_is_read_back_as_their_goal(task, language):
    for level in (1, 2, 3):
        for seed in range(20 if language == "en" else 5):
            setup = load("tasks", task).build(np.random.default_rng(seed), level)
            text = setup.instruction if language == "en" else setup.translations[language]
            assert meant(text, setup.scene) == wanted(task, setup), text


@pytest.mark.parametrize("task", ["put", "stack", "sort"])
def test_polite_and_synonymous_words_mean_the_same(task):
    for seed in range(3):
        setup = load("tasks", task).build(np.random.default_rng(seed), 2)
        for frame in POLITE_FRAMES:
            words = frame.format(paraphrased(setup.instruction, SYNONYM_OF))
            assert meant(words, setup.scene) == setup.goal, words


@pytest.mark.parametrize("language", LANGUAGE_NAMES)
def test_sub_goals_in_order_are_read_only_where_the_end_tells_them_all(language):
    judged = 0
    for seed in range(30):
        setup = load("tasks", "long").build(np.random.default_rng(seed), 1)
        text = setup.instruction if language == "en" else setup.translations[language]
        goal = meant(text, setup.scene)
        judged += goal is not None
        assert goal is None or set(goal.relations) == set(setup.goal.lasting.relations), text
    assert judged


@pytest.mark.parametrize("language", LANGUAGE_NAMES)
@pytest.mark.parametrize("task", ["inspect", "parcels", "rearrange", "recall", "shelf", "tidy"])
def test_what_only_a_family_can_judge_is_left_alone(task, language):
    for seed in range(10):
        setup = load("tasks", task).build(np.random.default_rng(seed), 1)
        text = setup.instruction if language == "en" else setup.translations[language]
        assert meant(text, setup.scene) is None, text


def test_there_are_many_wordings():
    assert len(PUT_TEMPLATES) >= 25 and len(STACK_TEMPLATES) >= 15 and len(SORT_TEMPLATES) >= 15
    rng = np.random.default_rng(0)
    assert len({put_phrase(rng, "red cube", "blue bowl") for _ in range(300)}) > 40
    assert len({stack_phrase(rng, ["red cube", "blue cube", "green cube"]) for _ in range(300)}) > 40
    assert len({sort_phrase(rng, "color", {"red": "white bowl", "blue": "black tray"}) for _ in range(300)}) > 60


@pytest.mark.parametrize("language", LANGUAGE_NAMES)
def test_every_word_of_a_grammar_has_one_terminal_and_every_rule_a_meaning(language):
    loaded = load_language(language)
    assert all(rule.expansion for rule in loaded.parser.rules), "what can stand next is read off the rules' beginnings"
    rules = {str(rule.alias or rule.origin.name) for rule in loaded.parser.rules if not rule.options.expand1}
    assert not [name for name in rules if not name.startswith("_") and not hasattr(Meanings, f"{name}_")]
    assert len(loaded.phrases) == len(loaded.vocabulary), "a phrase has two terminals"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("teh", "the"), ("bleu", "blue"), ("yelow", "yellow"), ("cuve", "cube"), ("cilinder", "cylinder"),
        ("pu", "put"), ("bell", None), ("or", None), ("not", None), ("elephant", None), ("x", None), ("hat", None),
    ],
)  # fmt: skip
def test_a_typing_error_is_one_slip_and_never_in_the_first_letter(typed, meant):
    assert nearest(typed, load_language("en").words) == meant


@pytest.mark.parametrize("text", ["", "   ", "?!", "\n"])
def test_an_empty_text_is_an_error(text):
    with pytest.raises(BadInput, match="empty"):
        read(text)


def test_a_text_without_end_is_not_read():
    assert "words" in read("put the red cube in the blue bowl and " * 200).why


@pytest.mark.parametrize(
    ("sentence", "kind", "least"),
    [
        ("put two cubes in the bowl and two cubes in the tray", "cube", 5),
        ("put one cube in the left bowl and one cube in the right bowl", "cube", 3),
        ("put everything but the balls in the box", "ball", 1),
        ("put the cubes in the box and the rest on the tray", "cube", 1),
    ],
)
def test_the_scene_has_as_many_as_the_words_send_to_different_places(sentence, kind, least):
    for seed in range(3):
        setup = prepare(RunConfig(words=sentence), seed)
        assert sum(placement.spec.shape == kind for placement in setup.scene.objects) >= least
        assert not setup.goal.success(initial_state(setup.scene)) and setup.goal.solve(initial_state(setup.scene))


def test_whatever_is_judged_can_be_played():
    judged = [text for _, _, text, expected in CORPUS if outcome(expected) == "read"]
    for number, text in enumerate(judged):
        setup = prepare(RunConfig(words=text), number)
        start = initial_state(setup.scene)
        assert not setup.goal.success(start) and len(setup.goal.solve(start)) > 1, text
