"""The files of an evaluation, and how it is resumed. Reports read these files and nothing else.

One folder per suite. Several models, clocks and arms, with their controls, may share it::

    manifest.json        what was asked for, of which policies; replaced as a whole
    episodes.jsonl       the ledger: a trace (see trace.py), one fsynced line per finished episode, never rewritten
    frames/<hash>.png    the trace's pictures
    lock                 held while an evaluation writes here

An episode's ``Key`` follows from its ``RunInfo``; no key occurs twice in a ledger.

manifest.json::

    {"schema": 2, "suite": "quick-v1", "suite_sha256": ..., "first_seed": 1000000,
     "versions": {package: version}, "renderer": ...,
     "policies": {policy hash: {"role": ..., "model": ..., "describe": {...}}},
     "runs": [{"blocks": [...], "arm": ..., "combos": ..., "clock": ..., "controls": [roles],
               "perturbed": [roles that also play perturbed episodes], "episodes": n,
               "policies": {role: policy hash}, "source": sha256 of qwenarm's own files}],
     "sha256": of all the rest}

suite_sha256 is that of the frozen suite; the blocks of a run are what was played of it. A run that asks for the same
as an earlier one continues that one. Resuming with other versions or another renderer is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.episode.episode_json import SCHEMA_VERSION, Head
from qwenarm.episode.locks import lock
from qwenarm.episode.trace import plain, scan
from qwenarm.episode.versions import versions
from qwenarm.errors import MAX_NAME_CHARS, BadInput, shortened
from qwenarm.evaluation.suites import AD_HOC, Suite
from qwenarm.perturbations import spell
from qwenarm.types import Episode, Outcome, RunInfo

MANIFEST_FILE, LOCK_FILE = "manifest.json", "lock"
PATIENCE_S = 5.0
"""Maximum time to wait for a lock, in s."""
DEPLOYMENT_KEYS = frozenset({"url", "threads", "tools", "family_from", "server_may_add"})
"""Parts of a policy's description that do not identify it: where it runs, and what its server was found to accept."""
WALL_CLOCK = frozenset({"seconds", "model_s", "crc32"})
"""Fields of an episode that differ when it is played again."""


@dataclass(frozen=True, slots=True)
class Key:
    """Everything that an episode depends on. ``policy`` is the hash of the policy's description of itself."""

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
        """Returns the key of a run."""
        config = run.config
        scene = (config.task, config.level, run.seed, config.arm, config.combos, spell(config.perturbations))
        return cls(run.suite, *scene, config.clock, policy_hash(run.policy))


@dataclass(frozen=True, slots=True)
class Row:
    """The part of a ledger's line that scores need. ``role`` is the policy's name in the registry."""

    key: Key
    role: str
    outcome: Outcome
    progress: float

    @classmethod
    def of(cls, episode: Episode | Head) -> Row:
        """Returns the row of an episode, with or without its turns."""
        return cls(Key.of(episode.run), episode.run.config.policy, episode.outcome, episode.progress)


def policy_hash(described: Mapping[str, Any]) -> str:
    """Returns 16 hex digits that identify a policy: model, file hash, prompt hash and preset, not where it runs."""
    told = {key: value for key, value in described.items() if key not in DEPLOYMENT_KEYS}
    return _sha256(told)[:16]


def rows(folder: Path, problems: list[str] | None = None) -> Iterator[Row]:
    """Yields the episodes of a ledger in the order in which they were written. For ``problems`` see
    ``jsonl.read_jsonl``.
    """
    return (Row.of(head) for _, head in scan(folder, problems))


def fingerprints(folder: Path) -> Iterator[tuple[Key, str]]:
    """Yields every episode of a ledger with the sha256 of everything that must be the same when it is played again."""
    for line, head in scan(folder):
        fields = json.loads(line.data)
        yield Key.of(head.run), _sha256(_timeless(fields))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks the folder for one evaluation. Raises BadInput if another one keeps the lock for a while.

    An evaluation that was just killed needs a moment to disappear. One that never began leaves no folder.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK_FILE, "w")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise BadInput(f"Cannot write to {folder}: {error.strerror}; choose another folder.") from error
    until = time.monotonic() + PATIENCE_S
    with file:
        while not lock(file):
            if time.monotonic() >= until:
                raise BadInput(f"Another evaluation is writing to {folder}; choose another folder with --out.")
            time.sleep(0.1)
        try:
            yield
        finally:
            if made and not (folder / MANIFEST_FILE).exists():
                with suppress(OSError):  # something was left there after all
                    (folder / LOCK_FILE).unlink()
                    for each in made:
                        each.rmdir()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest of a folder; {} if there is none. Raises BadInput if it cannot be read."""
    path = folder / MANIFEST_FILE
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is damaged ({error}); restore it or choose another folder.") from error


def enter(folder: Path, suite: Suite, frozen: Suite, run: Mapping[str, Any], policies: Mapping[str, Any]) -> None:
    """Records what a run asks for, before anything is played.

    ``suite`` is as played, ``frozen`` as defined; ``run`` is the rest of the run's entry, ``policies`` are by hash.
    Raises BadInput if the folder belongs to another suite, or was begun with other versions.
    """
    now = {
        "schema": SCHEMA_VERSION,
        "suite": suite.name,
        "suite_sha256": "" if frozen.name == AD_HOC else frozen.sha256(),
        "first_seed": suite.first_seed,
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
        raise BadInput(
            f"{folder / MANIFEST_FILE} is damaged ({error}); restore it or choose another folder."
        ) from error
    _replace(folder / MANIFEST_FILE, {**manifest, "sha256": manifest_sha256(manifest)})


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """Returns the hash of everything in a manifest but the hash itself."""
    return _sha256({name: value for name, value in manifest.items() if name != "sha256"})


def source_sha256() -> str:
    """Returns the hash of qwenarm's own Python files, which distinguishes states of the code with the same version."""
    home = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        digest.update(str(path.relative_to(home)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _refuse_others(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if not before:
        if next(rows(folder), None) is not None:
            raise BadInput(f"{folder} holds episodes but no {MANIFEST_FILE}; choose another folder with --out.")
        return
    for name, value in _flat(now):
        if (then := dict(_flat(before)).get(name)) != value:
            begun = shortened(str(then), MAX_NAME_CHARS)
            raise BadInput(f"{folder} was begun with {name} {begun}, and this is {value}; choose another --out.")


def _flat(manifest: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yields what must stay the same in a folder."""
    yield from ((name, manifest.get(name)) for name in ("schema", "suite", "suite_sha256", "renderer"))
    yield from sorted(manifest.get("versions", {}).items())


def _replace(path: Path, data: Mapping[str, Any]) -> None:
    """Replaces a file atomically, even if the power fails."""
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
