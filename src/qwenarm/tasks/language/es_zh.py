"""Spanish and Chinese for the tasks: things with their articles, clauses, and lists of clauses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.tasks.core.planning import Side

ES_SHAPES = {
    "cube": ("el", "cubo"), "cylinder": ("el", "cilindro"), "ball": ("la", "bola"), "bowl": ("el", "cuenco"),
    "tray": ("la", "bandeja"), "box": ("la", "caja"), "cover": ("la", "tapa"), "barrier": ("la", "barrera"),
}  # fmt: skip
ES_COLORS = {
    "red": ("rojo", "roja"), "orange": ("naranja", "naranja"), "yellow": ("amarillo", "amarilla"),
    "green": ("verde", "verde"), "blue": ("azul", "azul"), "purple": ("morado", "morada"),
    "white": ("blanco", "blanca"), "black": ("negro", "negra"),
}  # fmt: skip
ZH_SHAPES = {
    "cube": "方块", "cylinder": "圆柱", "ball": "球", "bowl": "碗", "tray": "托盘", "box": "盒子", "cover": "罩子",
    "barrier": "挡板",
}  # fmt: skip
ZH_COLORS = {
    "red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色", "purple": "紫色",
    "white": "白色", "black": "黑色",
}  # fmt: skip


NEXT_TO: dict[Side, tuple[str, str]] = {
    "": ("junto", "旁边"), "left": ("a la izquierda", "左边"), "right": ("a la derecha", "右边"),
    "front": ("delante", "前面"), "behind": ("detrás", "后面"),
}  # fmt: skip


def feminine(shape: str) -> bool:
    return ES_SHAPES[shape][0] == "la"


def el(spec: ObjectSpec, preposition: str = "") -> str:
    """Returns, for example, "el cubo rojo", or with a preposition "al cubo rojo", "de la bola roja"."""
    article, noun = ES_SHAPES[spec.shape]
    words = f"{article} {noun} {ES_COLORS[spec.color][feminine(spec.shape)]}"
    if preposition in ("a", "de") and article == "el":
        return f"{'al' if preposition == 'a' else 'del'} {words[3:]}"
    return f"{preposition} {words}".strip()


def es_plural(word: str) -> str:
    """Returns the plural of a noun or colour, for example "cubos" or "azules"."""
    return word + ("s" if word[-1] in "aeo" else "es")


def es_class(by: str, value: str, every: bool = True) -> str:
    """Returns all things of a colour or shape: "las cosas rojas", "los cubos"; without the article unless ``every``."""
    if by == "color":
        return ("las " if every else "") + f"cosas {es_plural(ES_COLORS[value][1])}"
    article, noun = ES_SHAPES[value]
    return (f"{'las' if article == 'la' else 'los'} " if every else "") + es_plural(noun)


def zh(spec: ObjectSpec) -> str:
    return f"{ZH_COLORS[spec.color]}{ZH_SHAPES[spec.shape]}"


def zh_class(by: str, value: str) -> str:
    """Returns the words for all things of a colour or shape."""
    return f"{ZH_COLORS[value]}的东西" if by == "color" else ZH_SHAPES[value]


def put_clauses(what: ObjectSpec, where: ObjectSpec, beside: bool = False, side: Side = "") -> Mapping[str, str]:
    """Returns "put this there" as a clause without a full stop."""
    if beside:
        es, chinese = NEXT_TO[side]
        return {
            "es": f"pon {el(what)} {es} {el(where, 'de' if side else 'a')}",
            "zh": f"把{zh(what)}放在{zh(where)}{chinese}",
        }
    return put_words(el(what), zh(what), where)


def put_words(es: str, chinese: str, where: ObjectSpec) -> Mapping[str, str]:
    """Returns such a clause for something that is named in other words."""
    inside = where.container
    return {
        "es": f"pon {es} {el(where, 'en' if inside else 'sobre')}",
        "zh": f"把{chinese}放{'进' if inside else '到'}{zh(where)}{'里' if inside else '上'}",
    }


def class_clauses(by: str, value: str, where: ObjectSpec) -> Mapping[str, str]:
    """Returns "put all of these there" as a clause without a full stop."""
    return {
        "es": f"pon {'todas' if by == 'color' or feminine(value) else 'todos'} {es_class(by, value)} {el(where, 'en')}",
        "zh": f"把所有{zh_class(by, value)}放进{zh(where)}里",
    }


def in_order(clauses: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Joins clauses as in "first this, then that, finally the last"."""
    es, zhs = [c["es"] for c in clauses], [c["zh"] for c in clauses]
    if len(clauses) == 1:
        return {"es": es[0], "zh": zhs[0]}
    return {
        "es": "; ".join([f"primero {es[0]}", *(f"después {c}" for c in es[1:-1]), f"por último {es[-1]}"]),
        "zh": ";".join([f"先{zhs[0]}", *(f"再{c}" for c in zhs[1:-1]), f"最后{zhs[-1]}"]),
    }


def polite(clauses: Mapping[str, str]) -> dict[str, str]:
    """Turns a clause into a polite request."""
    return {"es": f"por favor, {clauses['es']}", "zh": f"请{clauses['zh']}"}
