"""What an evaluation leaves behind, and how it is taken up again. Reports read these files and nothing else.

One folder per suite. Several models, clocks and arms may share it, and so their controls::

    manifest.json        what was asked for, and of what; replaced as a whole
    episodes.jsonl       the ledger: a trace (see trace.py), one fsynced line per finished episode, never rewritten
    frames/<hash>.png    the trace's pictures
    lock                 held while an evaluation writes here

An episode's ``Key`` follows from its ``RunInfo``; no key stands in a ledger twice.

manifest.json::

    {"schema": 2, "suite": "quick-v1", "suite_sha256": ..., "first_seed": 1000000,
     "versions": {package: version}, "renderer": ...,
     "policies": {policy hash: {"role": ..., "model": ..., "describe": {...}}},
     "runs": [{"blocks": [...], "arm": ..., "combos": ..., "clock": ..., "controls": [roles],
               "perturbed": [roles that also play perturbed episodes], "episodes": n,
               "policies": {role: policy hash}, "source": sha256 of qwenarm's own files}],
     "sha256": of all the rest}

suite_sha256 is that of the frozen suite; the blocks of a run are what was played of it. A run that asks for what an
earlier one asked for is that run, gone on. Resuming with other versions or another renderer is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.episode.episode_json import SCHEMA, Head
from qwenarm.episode.trace import plain, scan
from qwenarm.episode.versions import versions
from qwenarm.errors import BadInput
from qwenarm.evaluation.suites import AD_HOC, FIRST_SEED, Suite
from qwenarm.perturbations import spell
from qwenarm.types import Episode, Outcome, RunInfo

MANIFEST, LOCK = "manifest.json", "lock"
PATIENCE_S = 5.0
"""So long a lock is waited for, s."""
WHEREABOUTS = frozenset({"url", "threads", "tools", "family_from"})
"""What a policy tells of itself that is no part of what it is: where it runs, and what its server was found to take."""
WALL_CLOCK = frozenset({"seconds", "model_s", "crc32"})
"""Fields of an episode that differ when it is played again."""


@dataclass(frozen=True, slots=True)
class Key:
    """All that an episode depends on. perturbations: as text. policy: the hash of what it says about itself."""

    suite: str
    task: str
    level: int
    seed: int
    arm: str
    combos: str
    perturbations: str
    clock: str
    policy: str

    @classmethod
    def of(cls, run: RunInfo) -> Key:
        """The key of a run."""
        config = run.config
        scene = (config.task, config.level, run.seed, config.arm, config.combos, spell(config.perturbations))
        return cls(run.suite, *scene, config.clock, policy_hash(run.policy))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a ledger, as far as scores need it. role: the policy by its name in the registry."""

    key: Key
    role: str
    outcome: Outcome
    progress: float

    @classmethod
    def of(cls, episode: Episode | Head) -> Row:
        """The row of an episode, with or without its turns."""
        return cls(Key.of(episode.run), episode.run.config.policy, episode.outcome, episode.progress)


def policy_hash(described: Mapping[str, Any]) -> str:
    """16 hex digits of what a policy tells of itself: model, file hash, prompt hash, preset; not where it runs."""
    told = {key: value for key, value in described.items() if key not in WHEREABOUTS}
    return _sha256(told)[:16]


def rows(folder: Path, problems: list[str] | None = None) -> Iterator[Row]:
    """The episodes of a ledger, in the order in which they were written. problems: as for ``jsonl.read_jsonl``."""
    return (Row.of(head) for _, head in scan(folder, problems))


def fingerprints(folder: Path) -> Iterator[tuple[Key, str]]:
    """Every episode of a ledger with the sha256 of all that must be the same when it is played again."""
    for line, head in scan(folder):
        fields = json.loads(line.data)
        yield Key.of(head.run), _sha256(_timeless(fields))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While one evaluation writes here. Raises BadInput when another one does, and goes on doing so for a while: one
    that was just killed needs a moment to be gone.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "w")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise BadInput(f"Cannot write to {folder}: {error.strerror}; choose another folder.") from error
    until = time.monotonic() + PATIENCE_S
    with file:
        while not _taken(file):
            if time.monotonic() >= until:
                raise BadInput(f"Another evaluation is writing to {folder}; choose another folder with --out.")
            time.sleep(0.1)
        yield


def _taken(file: TextIO) -> bool:
    """Takes the lock if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, {} where there is none. Raises BadInput for one that cannot be read."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is damaged ({error}); restore it or choose another folder.") from error


def enter(folder: Path, suite: Suite, frozen: Suite, run: Mapping[str, Any], policies: Mapping[str, Any]) -> None:
    """Writes down, before anything is played, what a run asks for.

    suite: as played. frozen: as it is defined. run: the rest of the run's entry. policies: by hash. Raises BadInput
    when the folder belongs to another suite, or was begun with other versions.
    """
    now = {
        "schema": SCHEMA,
        "suite": suite.name,
        "suite_sha256": "" if frozen.name == AD_HOC else frozen.sha256(),
        "first_seed": FIRST_SEED,
        "versions": versions(),
        "renderer": choose_renderer(),
    }
    before = read_manifest(folder)
    entry = {"blocks": suite.describe(), **run, "source": source_sha256()}
    try:
        if before and before["sha256"] != manifest_sha256(before):
            raise ValueError("its own hash does not fit")
        _refuse_others(folder, before, now)
        runs = before.get("runs", [])
        manifest = {
            **now,
            "policies": {**before.get("policies", {}), **policies},
            "runs": runs if entry in runs else [*runs, entry],
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadInput(f"{folder / MANIFEST} is damaged ({error}); restore it or choose another folder.") from error
    _replace(folder / MANIFEST, {**manifest, "sha256": manifest_sha256(manifest)})


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """The hash that a manifest has of all the rest of itself."""
    return _sha256({name: value for name, value in manifest.items() if name != "sha256"})


def source_sha256() -> str:
    """The hash of qwenarm's own Python files, by which two states of the code under one version are told apart."""
    home = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        digest.update(str(path.relative_to(home)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _refuse_others(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if not before:
        if next(rows(folder), None) is not None:
            raise BadInput(f"{folder} holds episodes but no {MANIFEST}; choose another folder with --out.")
        return
    for name, value in _flat(now):
        if (then := dict(_flat(before)).get(name)) != value:
            raise BadInput(f"{folder} was begun with {name} {then}, and this is {value}; choose another --out.")


def _flat(manifest: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """What has to stay the same in a folder."""
    yield from ((name, manifest.get(name)) for name in ("schema", "suite", "suite_sha256", "renderer"))
    yield from sorted(manifest.get("versions", {}).items())


def _replace(path: Path, data: Mapping[str, Any]) -> None:
    """The file as a whole or not at all, also when the power fails."""
    part = path.with_suffix(".part")
    with open(part, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _timeless(each) for key, each in value.items() if key not in WALL_CLOCK}
    return [_timeless(each) for each in value] if isinstance(value, list | tuple) else value


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=plain).encode()).hexdigest()
