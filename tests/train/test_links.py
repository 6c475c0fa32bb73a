"""Where an answer should look follows from its text and the prompt's."""

import re
from collections import Counter

from qwenarm.train.batches import Example, Reader, same_places
from qwenarm.train.links import LINK_KINDS, Linker

PROMPT = "\nTask: all red things go in the green tray, and blue ones in the box\nHistory: {}\nHand: {}\n"
PLACE = '{"name": "place", "arguments": {"at": {"label": "green tray", "point_2d": [12, 930]}}}'


def words_of(text: str) -> list[tuple[int, int]]:
    """Words, numbers and marks as tokens."""
    return [found.span() for found in re.finditer(r"\w+|[^\w\s]", text)]


def linked(history: str, hand: str, answer: str) -> dict[str, set[tuple[str, str]]]:
    """By kind the pairs (word that is predicted, word that is looked at)."""
    prompt = PROMPT.format(history, hand)
    text = prompt + answer
    spans = words_of(text)
    words = [text[begin:end] for begin, end in spans]
    links = Linker(text, len(prompt), spans).links()
    ahead = {kind: 0 if kind == "bound" else 1 for kind in LINK_KINDS}
    return {
        kind: {(words[at + ahead[kind]], str(to) if kind in ("cells", "beside") else words[to]) for at, to in pairs}
        for kind, pairs in links.items()
    }


def test_a_place_looks_at_its_name_and_at_what_sends_the_held_thing_there():
    links = linked("pick red cube: ok", "holding something", PLACE)
    assert links["cells"] == {("place", "0"), ("12", "0"), ("930", "0")}
    assert links["named"] == {("green", "green"), ("tray", "tray")}
    assert links["bound"] == {("green", "red"), ("tray", "red")}
    assert links["held"] == {(word, to) for word in ("green", "tray") for to in ("red", "cube")}


def test_what_was_placed_last_is_looked_at_before_the_next_is_picked():
    links = linked("pick red cube at 1 2: ok; place box: ok", "empty", PLACE.replace("place", "pick"))
    assert links["held"] == {(word, to) for word in ("green", "tray") for to in ("red", "cube")}, "without its place"
    assert not links["bound"]


def test_what_the_task_says_of_everything_sends_nothing_anywhere():
    prompt = "\nTask: red parcels go in the box, black parcels in the tray\nHistory: {}\nHand: full\n"
    text = prompt.format("pick black parcel at 7 8: ok") + PLACE.replace("green tray", "tray")
    spans = words_of(text)
    words = [text[begin:end] for begin, end in spans]
    links = Linker(text, text.index("{"), spans).links()
    assert [(words[at], words[to]) for at, to in links["bound"]] == [("tray", "black")]


def test_a_label_that_nothing_spells_looks_at_the_thing():
    links = linked("none", "empty", PLACE.replace("place", "pick").replace("green tray", "red cube"))
    assert links["cells"] == {("pick", "0"), ("12", "0"), ("930", "0"), ("red", "0"), ("cube", "0")}
    assert not links["named"] and not links["held"] and not links["bound"]


def test_of_a_place_that_nothing_spells_the_end_is_named():
    links = linked("none", "empty", PLACE.replace("green tray", "place next to the blue ones"))
    assert links["named"] == {("blue", "blue"), ("ones", "ones")}, "the longest end that the task has"
    assert ("next", "0") in links["cells"]
    assert not linked("none", "empty", PLACE.replace("green tray", "place next to the red cube"))["named"]


def test_a_place_that_is_named_by_a_thing_looks_at_that_thing():
    for label in ("place next to the red cube", "place in front of the blue ball"):
        links = linked("none", "empty", PLACE.replace("green tray", label))
        assert links["beside"] == {("12", "0"), ("930", "0")}
    for label in ("red cube", "free place on the table", "place of the red cube"):
        assert not linked("none", "empty", PLACE.replace("green tray", label))["beside"]


def test_the_place_where_a_thing_was_is_where_it_was_picked_first():
    history = "pick red cube at 183 552: ok; place free place at 791 306: ok; pick red ball at 817 544: ok"
    held = linked(
        history + "; pick red cube at 790 301: ok", "red ball", PLACE.replace("green tray", "place of the red cube")
    )
    assert {("12", "183"), ("930", "552")} <= held["held"]
    assert not {to for at, to in held["held"] if at in ("12", "930")} - {"183", "552"}
    never = linked(history, "red ball", PLACE.replace("green tray", "place of the blue cube"))
    assert not [at for at, _ in never["held"] if at in ("12", "930")]


def test_the_thing_beside_a_place_is_found_in_the_picture(examples: list[Example], reader: Reader):
    def name(line, k: int) -> str:
        return f"{line['objects'][k]['color']} {line['objects'][k]['shape']}"

    def names_one(line) -> bool:
        pointed = [k for k, *_ in line["points"] if k >= 0]
        return bool(pointed) and [name(line, k) for k in range(len(line["objects"]))].count(name(line, pointed[0])) == 1

    shard, line = next(each for each in examples if names_one(each[1]))
    k = next(k for k, *_ in line["points"] if k >= 0)
    answer = PLACE.replace("green tray", f"place left of the {name(line, k)}")
    beside = {**line, "answer": answer, "points": [[-1, 0.01, 0.01, 0]]}
    tokens = reader.tokens((shard, beside))
    batch = reader.batch([(shard, beside)], [tokens])
    looked = batch.links["beside"][0].any(0).nonzero()[:, 0] - tokens.pictures[0]
    (mask,) = shard.pictures(line["masks"][:1])
    assert looked.tolist() == (reader.owners(mask, tokens.grids[0]) == k).nonzero()[0].tolist() != []


def test_a_label_without_a_word_is_spelt_nowhere():
    for label in ("...", "", "?!"):
        links = linked("none", "empty", PLACE.replace("green tray", label))
        assert {("place", "0"), ("12", "0"), ("930", "0")} <= links["cells"] and not links["bound"]


def test_an_answer_without_a_point_has_no_links():
    assert not any(linked("none", "empty", '{"name": "done", "arguments": {}}').values())


def test_links_of_real_decisions_are_within_the_sequence(examples: list[Example], reader: Reader):
    seen: Counter[str] = Counter()
    for example in examples:
        tokens = reader.tokens(example)
        for kind, pairs in tokens.links.items():
            seen[kind] += len(pairs)
            for at, to in pairs:
                assert at >= (tokens.answer - 1 if kind != "bound" else 0)
                assert to < at or kind == "cells"
    assert seen["cells"] and seen["named"] and seen["held"]


def test_what_a_model_meant_by_a_point_of_its_own_is_not_known(reader: Reader, examples: list[Example]):
    shard, line = next(example for example in examples if example[1]["points"])
    tokens = reader.tokens((shard, line))
    assert reader.batch([(shard, line)], [tokens]).links["cells"].any()
    sampled = {**line, "points": [], "masks": [], "objects": []}
    assert not reader.batch([(shard, sampled)], [tokens]).links["cells"].any()


NOTE = "say blue ball at 445 660; red cube at 30 12: ok; look: ok"


def test_a_note_points_and_is_looked_up_by_what_hides_the_thing():
    answer = '{"name": "say", "arguments": {"text": "blue ball at 445 660; red cube at 30 12"}}'
    links = linked("none", "empty", answer)
    assert links["cells"] >= {("445", "0"), ("660", "0"), ("30", "1"), ("12", "1"), ("ball", "0"), ("cube", "1")}
    cover = PLACE.replace("place", "pick").replace("green tray", "grey cover")
    prompt = PROMPT.replace("all red things go in the green tray, and blue ones in the box", "bring the blue ball")
    text = prompt.format(NOTE, "empty")
    spans = words_of(text + cover)
    words = [(text + cover)[begin:end] for begin, end in spans]
    links = Linker(text + cover, len(text), spans).links()
    noted = {(words[at + 1], words[to]) for at, to in links["noted"]}
    assert noted == {("12", "445"), ("930", "660")}, "u looks at u, and v at v"
    bound = {(words[at], words[to]) for at, to in links["bound"] if words[at].isdigit()}
    assert bound == {(number, word) for number in ("445", "660") for word in ("blue", "ball")} | {
        (number, word) for number in ("30", "12") for word in ("red", "cube")
    }, "each noted number looks at the name before it"
    named = [(at, to) for at, to in links["bound"] if not words[at].isdigit()]
    assert not named, "nothing of its own label is in the note"


def test_an_answer_looks_in_its_own_label_for_what_it_looks_up():
    cover = PLACE.replace("place", "pick").replace("green tray", "cover of the blue ball")
    prompt = PROMPT.replace("all red things go in the green tray, and blue ones in the box", "bring the blue ball")
    text = prompt.format(NOTE, "empty") + cover
    spans = words_of(text)
    words = [text[begin:end] for begin, end in spans]
    links = Linker(text, len(text) - len(cover), spans).links()
    answer = {(words[at + 1], words[to]) for at, to in links["bound"] if at >= len(words_of(text[: -len(cover)]))}
    assert answer == {(number, word) for number in ("12", "930") for word in ("blue", "ball")}


def test_words_with_typing_errors_are_those_that_were_meant():
    prompt = PROMPT.replace("green tray", "grene tary").replace("red things", "rde things")
    text = prompt.format("pick red cube: ok", "holding something") + PLACE
    spans = words_of(text)
    words = [text[begin:end] for begin, end in spans]
    links = Linker(text, len(text) - len(PLACE), spans).links()
    assert {(words[at + 1], words[to]) for at, to in links["named"]} == {("green", "grene"), ("tray", "tary")}
    assert {(words[at], words[to]) for at, to in links["bound"]} == {("grene", "rde"), ("tary", "rde")}
    other = PROMPT.replace("green tray", "great tray")
    assert not Linker(other.format("none", "empty") + PLACE, len(other), spans).links()["named"]


def test_each_cell_of_a_goal_picture_looks_at_the_same_cell():
    assert same_places([3, 12], [(1, 4, 4), (1, 4, 4)], 2) == [(12, 3), (13, 4), (14, 5), (15, 6)]
    assert not same_places([3, 12], [(1, 4, 4), (1, 2, 4)], 2) and not same_places([3], [(1, 4, 4)], 2)
