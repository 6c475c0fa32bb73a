"""Translates the goals of simple tasks into Spanish and Chinese. All wordings of a goal have the same translation."""

from __future__ import annotations

from qwenarm.body.scene import Scene
from qwenarm.tasks.core.goal import Arrange, Goal, Sort
from qwenarm.tasks.language.es_zh import class_clauses, in_order, polite, put_clauses

BY_ATTRIBUTE_WORDS = {"color": ("color", "颜色"), "shape": ("forma", "形状")}


def translations(goal: Goal | None, scene: Scene) -> dict[str, str]:
    """Returns the instruction by language code ("es", "zh"); empty unless the goal is an arrangement or a sorting."""
    if isinstance(goal, Arrange):
        return polite(
            in_order([put_clauses(scene.spec(r.what), scene.spec(r.where), r.beside, r.side) for r in goal.relations])
        )
    if isinstance(goal, Sort):
        rules = [class_clauses(goal.by, value, scene.spec(place)) for value, place in goal.places]
        es, zh = BY_ATTRIBUTE_WORDS[goal.by]
        return {
            "es": f"ordena las cosas por {es}: " + "; ".join(rule["es"] for rule in rules),
            "zh": f"请按{zh}分类：" + "，".join(rule["zh"] for rule in rules),
        }
    return {}
