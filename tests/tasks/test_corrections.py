"""A few words correct an instruction by what is on the table, or change nothing."""

import numpy as np
import pytest

from qwenarm.errors import BadInput
from qwenarm.tasks.language.free_task import free_setup
from qwenarm.tasks.language.ground import goal_of
from qwenarm.tasks.language.read_correction import read_correction
from qwenarm.tasks.language.read_instruction import read

ON_THE_TABLE = "put the red cube in the blue bowl, the green cube in the white tray and the blue ball in the green bowl"
FORMER = "put the red cube in the blue bowl"


@pytest.fixture(scope="module")
def scene():
    return free_setup(ON_THE_TABLE, np.random.default_rng(0), combos=()).scene


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("no, the green cube", "put the green cube in the blue bowl"),
        ("No, the ball!", "put the blue ball in the blue bowl"),
        ("no the green bowl", "put the red cube in the green bowl"),
        ("the other bowl", "put the red cube in the green bowl"),
        ("sorry, I mean the tray", "put the red cube in the white tray"),
        ("no, on the tray", "put the red cube in the white tray"),
        ("no, left of the blue bowl", "put the red cube left of the blue bowl"),
        ("no, the green bowel", "put the red cube in the green bowl"),
        ("no, en la bandeja", "por favor, pon el cubo rojo en la bandeja blanca"),
        ("不，托盘", "请把红色方块放进白色托盘里"),
        ("put the ball on the tray", "put the ball on the tray"),
        ("no, put the ball on the tray", "put the ball on the tray"),
        ("No no put the ball on the tray", "put the ball on the tray"),
        ("no. the ball goes on the tray", "the ball goes on the tray"),
        ("no, pon la bola en la bandeja", "pon la bola en la bandeja"),
        ("不，把球放在托盘上", "把球放在托盘上"),
    ],
)
def test_what_is_different_is_changed_and_the_rest_stays(scene, words, meaning):
    goal = goal_of(read(FORMER).wish, scene)
    reading, corrected = read_correction(words, goal, scene)
    assert reading.text == meaning
    assert corrected == goal_of(read(meaning).wish, scene) != goal


@pytest.mark.parametrize(
    ("more", "meaning"),
    [
        ("and the green ball in the green bowl", "put the red cube in the green bowl"),
        ("and the green cube on the white tray", "put the green cube in the blue bowl"),
    ],
)
def test_the_other_one_is_what_there_are_two_of(more, meaning):
    scene = free_setup(f"{FORMER} {more}", np.random.default_rng(0), combos=()).scene
    assert read_correction("no, the other one", goal_of(read(FORMER).wish, scene), scene)[0].text == meaning


@pytest.mark.parametrize("words", ["no, the green one", "no, green", "no, el verde", "不，绿色的"])
def test_what_can_mean_two_things_is_not_judged(scene, words):
    reading, corrected = read_correction(words, goal_of(read(FORMER).wish, scene), scene)
    assert corrected is None and "green cube in blue bowl" in reading.why and "red cube in green bowl" in reading.why


@pytest.mark.parametrize("words", ["no", "no, the purple one", "no, the red " * 100 + "cube"])
def test_what_names_nothing_else_on_the_table_changes_nothing(scene, words):
    reading, corrected = read_correction(words, goal_of(read(FORMER).wish, scene), scene)
    assert corrected is None and reading.why


@pytest.mark.parametrize(
    "words", ["no, on the yellow cube", "no, the yellow cube", "no, en el cubo amarillo", "不，黄色方块"]
)
def test_few_words_about_what_is_not_there_say_so(scene, words):
    reading, corrected = read_correction(words, goal_of(read(FORMER).wish, scene), scene)
    assert corrected is None and reading.why.startswith("No yellow cube on the table; there are: blue ball, ")


@pytest.mark.parametrize("words", ["no cubes in the blue bowl", "no   cube in the green bowl"])
def test_no_before_a_thing_is_no_correction(scene, words):
    reading, corrected = read_correction(words, goal_of(read(FORMER).wish, scene), scene)
    assert corrected is None and reading.text == words


def test_what_is_meant_already_stays(scene):
    goal = goal_of(read(FORMER).wish, scene)
    reading, corrected = read_correction("no, the red one", goal, scene)
    assert corrected == goal and reading.text == FORMER


def test_only_a_goal_of_one_move_can_be_corrected_by_a_few_words(scene):
    for former in (None, goal_of(read(ON_THE_TABLE).wish, scene), goal_of(read("pick up the red cube").wish, scene)):
        reading, corrected = read_correction("no, the tray", former, scene)
        assert corrected is None and reading.why


def test_a_new_instruction_about_what_is_not_there_is_refused(scene):
    with pytest.raises(BadInput, match="No purple cube"):
        read_correction("put the purple cube in the tray", goal_of(read(FORMER).wish, scene), scene)
