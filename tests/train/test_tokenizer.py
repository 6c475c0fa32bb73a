"""The vocabulary: numbers and words are tokens of their own, the protocol is short, and any text survives."""

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import SHAPES
from qwenarm.mind.checkpoints.load import locate
from qwenarm.train.learner import Learner
from qwenarm.train.tokenizer import SPECIAL, bundled_tokenizer


def test_a_number_is_one_token(learner: Learner):
    ids = [learner.tokenizer(str(n))["input_ids"] for n in range(1000)]
    assert all(len(i) == 1 for i in ids)
    assert len({i[0] for i in ids}) == 1000


def test_colors_and_shapes_are_words_of_their_own(learner: Learner):
    """Unseen combinations must be made of seen words."""
    for color in COLORS:
        for shape in SHAPES:
            assert len(learner.tokenizer(f"the {color} {shape}")["input_ids"]) == 3


def test_the_tools_cost_one_token_a_line(learner: Learner):
    specs = learner.sequencer.specs
    assert learner.sequencer.heads.shape[1] - learner.sequencer.cells < 12 + 2 * len(specs)


@given(text=st.text(max_size=60))
def test_any_text_comes_back(learner: Learner, text: str):
    ids = learner.tokenizer(text)["input_ids"]
    if not any(name in text for name in SPECIAL):
        assert learner.tokenizer.decode(ids) == text


def test_the_same_vocabulary_every_time(learner: Learner):
    again, _ = bundled_tokenizer()
    assert again.get_vocab() == learner.tokenizer.get_vocab()


def test_the_recipe_makes_the_shipped_checkpoints_own(learner: Learner):
    """So that training can go on from it: a new skill or word must not shift its ids."""
    shipped = Tokenizer.from_file(str(locate("bundled").folder / "tokenizer.json"))
    assert shipped.get_vocab() == learner.tokenizer.get_vocab()
