"""A run's manifest: whether it is whole, whether everything it asks for was played, and how to cite the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwenarm.display.episode_page import flat
from qwenarm.errors import BadInput
from qwenarm.evaluation.ledger import MANIFEST_FILE, manifest_sha256, read_manifest
from qwenarm.report.fields import Field, Table
from qwenarm.report.records import PlayedScene, Record, Run

MANIFEST_TYPES = {"versions": Mapping, "runs": list, "policies": Mapping, "suite": str, "renderer": str}


def checked_manifest(folder: Path, problems: list[str]) -> Mapping[str, Any]:
    """The manifest, {} where there is none. What is wrong with it is added to ``problems`` in sentences."""
    try:
        manifest = read_manifest(folder)
    except (BadInput, OSError) as error:
        problems.append(f"{error} The report goes on without it.")
        return {}
    if not manifest or not isinstance(manifest, Mapping):
        problems.append(
            f"{folder} has no {MANIFEST_FILE}: what was asked for is unknown, only what was played is reported."
        )
        return {}
    if manifest.get("sha256") != manifest_sha256(manifest):
        problems.append(f"{folder / MANIFEST_FILE} was changed after it was written: its own hash does not fit.")
    odd = {key for key, kind in MANIFEST_TYPES.items() if key in manifest and not isinstance(manifest[key], kind)}
    if "runs" not in odd and not all(isinstance(run, Mapping) for run in manifest.get("runs", ())):
        odd.add("runs")
    if odd:
        problems.append(f"{folder / MANIFEST_FILE} is damaged: nobody can read its {', '.join(sorted(odd))}.")
    return {key: value for key, value in manifest.items() if key not in odd}


def missing(folder: Path, manifest: Mapping[str, Any], records: Sequence[Record]) -> list[str]:
    """A sentence for each policy that has not played everything that the manifest asks for."""
    try:
        return list(dict.fromkeys(_missing(manifest, records)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"{folder / MANIFEST_FILE} does not say what was asked for ({type(error).__name__}: {error})."]


def _missing(manifest: Mapping[str, Any], records: Sequence[Record]) -> Iterator[str]:
    """An evaluation may have been stopped, or may still be running."""
    for run in manifest.get("runs", ()):
        wanted = _wanted(run, int(manifest["first_seed"]))
        for role, policy in run.get("policies", {}).items():
            everywhere = role in run["perturbed"]
            asked = {scene for scene in wanted if everywhere or not scene.perturbations}
            have = {
                record.scene
                for record in records
                if record.key.policy == policy and (record.key.arm, record.key.clock) == (run["arm"], run["clock"])
            }
            if lacking := asked - have:
                tasks = Counter(scene.task for scene in lacking)
                words = ", ".join(f"{n} of {task}" for task, n in tasks.most_common(4))
                rest = f" and {len(tasks) - 4} more tasks" if len(tasks) > 4 else ""
                played = f"{len(asked) - len(lacking)} of {len(asked)}"
                yield f"Unfinished: {role} has played {played} episodes ({words}{rest} missing)."


def _wanted(run: Mapping[str, Any], first_seed: int) -> set[PlayedScene]:
    """The scenes that an evaluation's entry in the manifest asks for."""
    return {
        PlayedScene(task, int(level), first_seed + i, run["combos"], perturbations)
        for block in run["blocks"]
        for task in block["tasks"]
        for level in block["levels"]
        for perturbations in block["perturbations"]
        for i in range(int(block["seeds"]))
    }


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
    """The folder and the whole manifest, name by name."""
    facts = {"folder": str(run.folder), **flat(run.manifest)}
    return Table(
        f"The manifest of {run.name}", ("name", "value"), tuple((Field(k), Field(v)) for k, v in facts.items())
    )
