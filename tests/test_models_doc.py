"""docs/models.md holds the tables that follow from the code. To write them anew: python tests/test_models_doc.py"""

import re
from pathlib import Path

from qwenarm.mind.checkpoints.memory import cache_bytes, gb, need_of_size
from qwenarm.mind.coordinates import Relative
from qwenarm.mind.families import MODEL_FAMILIES, Family, Sampling
from qwenarm.mind.model_sizes import MODEL_SIZES

PAGE = Path(__file__).parent.parent / "docs" / "models.md"


def table(head: str, rows: list[list[str]]) -> str:
    columns = head.split(" | ")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def drawn(sampling: Sampling | None) -> str:
    if sampling is None:
        return "-"
    return (
        "greedy" if sampling.temperature < 1e-3 else f"{sampling.temperature:g} / {sampling.top_p:g} / {sampling.top_k}"
    )


def family_row(family: Family) -> list[str]:
    points = f"0 to {family.codec.full}" if isinstance(family.codec, Relative) else "pixels of the resized image"
    thinks = "switch" if family.thinking_switch else "checkpoints of their own" if family.thinking else "no"
    kinds = ", ".join(f"`{kind}`" for kind in family.model_types)
    sides = f"multiples of {family.grid}"
    dialect = family.dialect.upper()
    return [family.title, kinds, points, sides, dialect, thinks, drawn(family.published), drawn(family.thinking)]


def families() -> str:
    head = "family | `model_type` | points | frame sides | calls | thinking | published sampling* | thinking*"
    note = "\n\n*temperature / top_p / top_k, as published. Without thinking answers are greedy all the same."
    return table(head, [family_row(family) for family in MODEL_FAMILIES]) + note


def sizes() -> str:
    head = "model | parameters | bfloat16 | 4-bit | of that, beside weights | cache per 1,000 tokens"
    rows = [
        [
            size.ids[0].removeprefix("Qwen/"),
            f"{size.parameters / 1e9:.1f} B",
            gb(need_of_size(size).total),
            gb(need_of_size(size, four_bit=True).total),
            gb(need_of_size(size).work),
            gb(cache_bytes(size.config, 1000, "bfloat16")),
        ]
        for size in MODEL_SIZES
    ]
    return table(head, rows)


TABLES = {"families": families, "sizes": sizes}


def filled(page: str) -> str:
    for name, make in TABLES.items():
        block = f"<!-- {name} -->\n{make()}\n<!-- /{name} -->"
        page = re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, block=block: block, page, flags=re.DOTALL)
    return page


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in page for name in TABLES)
    assert filled(page) == page, "run: python tests/test_models_doc.py"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
