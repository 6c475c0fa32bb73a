"""The words that instructions are made of, by what they do to the wish, and how what people leave out is supplied.

``_words.py`` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from qwenarm.body.objects.markings import COLORS
from qwenarm.tasks.core.planning import Side
from qwenarm.tasks.language.phrases import PUT, PUT_IN, PUT_ON, SORT, SORT_OWN, STACK


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NOUNS = {
    "cube": "cube", "block": "cube", "brick": "cube", "dice": "cube", "cylinder": "cylinder", "can": "cylinder",
    "ball": "ball", "sphere": "ball", "bowl": "bowl", "tray": "tray", "plate": "tray", "box": "box", "crate": "box",
}  # fmt: skip
PLURALS = {f"{noun}es" if noun == "box" else f"{noun}s": shape for noun, shape in NOUNS.items()}
SHADES = {**{color: color for color in COLORS}, "violet": "purple", "lilac": "purple"}
OTHER_SHADES = _words("pink brown grey gray cyan magenta turquoise golden gold silver beige teal")
ADJECTIVES = _words("big small little large tiny round square dark light bright nice lonely wooden plastic")
ANY_THING = _words("one ones thing things object objects item items")
EVERY = _words("all every each")
NUMBERS = {"both": 2, "two": 2, "three": 3, "four": 4, "five": 5, "2": 2, "3": 3, "4": 4, "5": 5}
EVERYTHING = "everysolid"
"""What ``tokens`` writes for "everything" and "all the things" that are to go somewhere."""
ARTICLES = _words("the a an my your")
DETERMINERS = ARTICLES | _words("this that these those")
INSIDE = _words("in into inside within")
INTO = INSIDE | _words("on onto top to over above upon atop")
BESIDE = _words("beside next near besides alongside")
TURNED = _words("with hold contain where")
TOWER = _words("stack tower pile base bottom")
OWN = _words("own same match matches matching its their")
MOVE = (
    _words("put place move drop set lay get bring carry transfer take pick grab stack pile fill load")
    | _words("insert deposit stick pop throw toss dump shift relocate build make")
)  # fmt: skip
SIDES: dict[str, Side] = {"leftof": "left", "rightof": "right", "infrontof": "front", "behind": "behind"}
"""Those of several words as ``_joined`` writes them."""
PLACING = INTO | BESIDE | SIDES.keys()
PLAIN = (
    _words("table tower pile stack bottom top middle colour color colours colors container containers left right")
    | _words("side same order other first rest base place places task tidy floor and or as is are it them by of")
    | _words("corner edge centre center rim end front back half line row circle hand arm robot gripper camera")
    | ANY_THING | EVERY | INTO | BESIDE | TURNED | OWN | MOVE | ADJECTIVES | set(SHADES)
)  # fmt: skip
COURTESY = re.compile(
    r"\b(?:if you (?:do|would) not mind|if (?:you can|possible)|sorry to bother you,? but"
    r"|there is no hurry|whenever it suits you|this is for you|here it comes|good (?:morning|day|evening)"
    r"|it would be (?:lovely|nice|great) if this could be done|right, now|dear (?:friend|robot)"
    r"|(?:many )?thank(?:s| you)(?: in advance)?)\b"
)
"""Means nothing, and has words in it that could mean something elsewhere."""
HARMLESS = (
    frozenset(re.findall(r"[a-z]+", re.sub(r"{\w+}", "", " ".join(PUT + PUT_IN + PUT_ON + STACK + SORT + SORT_OWN))))
    | _words("now just kindly gently carefully slowly quickly softly safely straight directly hello hi hey us me my")
    | _words("do for let lets go ahead also need d have robot arm must ends going colour color colours colors shape")
    | MOVE | PLACING | TURNED | TOWER | EVERY | DETERMINERS | ANY_THING | {"ok", "okay"}
)  # fmt: skip
"""Words that leave a wish what it is: all that our own wordings are made of, and some more."""
ENDS = PLACING | _words("and then goes belongs should at please")
"""What comes behind a colour that stands for a thing of that colour."""
QUESTIONS = _words("should shall might is are was were has does did what which where who how why when")
"""A sentence that begins with one of these asks, and wants nothing moved."""


def tokens(instruction: str) -> list[str]:
    """Its words and punctuation marks, in lower case, with nothing left out that can be supplied."""
    plainly = instruction.lower().replace("’", "'").replace("'s", "").replace("can't", "can not").replace("n't", " not")
    text = _joined(COURTESY.sub(" ", plainly))
    return list(_with_nouns(_spread(re.findall(r"[a-z]+|[0-9]+|[,;:.?!]", text))))


def _joined(text: str) -> str:
    """With one word for each preposition that has several, and for everything that is to go somewhere."""
    text = re.sub(r"\b(?:(?:to|on|at) (?:the )?)?(left|right)(?:[ -]hand)?(?: side)? of\b", r"\1of", text)
    text = re.sub(r"\bin front of\b", "infrontof", text)
    if OWN & set(text.split()):
        return text
    things = r"\b(?:everything|(?:all|every)(?: of)?(?: the)? (?:things?|objects?|items?))"
    return re.sub(rf"{things}(?= (?:in|into|inside|to|on|onto)\b)", EVERYTHING, text)


def _spread(words: Sequence[str]) -> list[str]:
    """ "The red, blue and green cubes" as "the red cube, blue cube and green cubes": the noun after every colour."""
    spread, between = list(words), {",", "and"} | ARTICLES
    for at in range(len(spread) - 1, 0, -1):
        following = next((word for word in spread[at:] if word not in between), "")
        here = spread[at - 1] in SHADES and spread[at] in between and following in SHADES
        if here and (noun := _noun_behind(spread, at + spread[at:].index(following))):
            spread.insert(at, noun)
    return spread


def _noun_behind(words: Sequence[str], color: int) -> str:
    """The noun that follows a colour at once; "" if none does."""
    noun = words[color + 1] if color + 1 < len(words) else ""
    return noun if noun in NOUNS or noun in PLURALS or noun in ANY_THING - {"one"} else ""


def _with_nouns(words: Sequence[str]) -> Iterator[str]:
    """ "Stack blue on red" as "stack blue one on red one", in a sorting "ones"; "both the" as "the".

    Not after "in": what holds something is no "one".
    """
    noun = "ones" if set(words) & {"sort", "group", "separate"} else "one"
    before = ""
    for word, following in pairwise([*words, "."]):
        if word != "both" or following not in ARTICLES:
            yield word
        if word in SHADES and (following in ENDS or not following.isalnum()) and before not in INSIDE:
            yield noun
        before = before if word in ARTICLES else word
