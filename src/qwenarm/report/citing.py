"""What is needed to cite a run and to play it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qwenarm.report.fields import Field, Table
from qwenarm.report.records import Run


def citation(run: Run) -> str:
    """One line: versions, suite, the manifest's hash, seeds, renderer."""
    manifest = run.manifest
    seeds = sorted({record.key.seed for record in run.records})
    digest = str(manifest.get("suite_sha256", ""))[:16]
    suites = ", ".join(sorted({record.key.suite for record in run.records}))
    parts = [
        f"qwenarm {manifest.get('versions', {}).get('qwenarm', 'of unknown version')}",
        f"suite {suites}{f' (sha256 {digest})' if digest else ''}",
        f"manifest sha256 {manifest['sha256']}" if manifest.get("sha256") else "no manifest",
        f"{len(run.records):,} episodes with seeds {seeds[0]} to {seeds[-1]}",
        f"renderer {manifest.get('renderer', 'unknown')}",
    ]
    return "; ".join(parts) + "."


def facts_table(run: Run) -> Table:
    """The folder and its whole manifest, name by name."""
    facts = [("folder", str(run.folder)), *_flat(run.manifest)]
    return Table(f"The manifest of {run.name}", ("name", "value"), tuple((Field(k), Field(v)) for k, v in facts))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested values under dotted names; a list of plain ones in one line."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for i, each in enumerate(value, 1):
            yield from _flat(each, f"{name}.{i}")
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
