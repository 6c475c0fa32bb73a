"""A suite, played by a policy and its controls on the same seeds, into a ledger that can be stopped and taken up again.

Kill it at any moment and start it again: what stands in the ledger stays as it is, what is missing is played. The same
episodes come out for any number of workers; for any batch, too, where the model answers a prompt the same alone and
among others (on a CPU in fp32 it does).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qwenarm.episode.clock import parse_clock
from qwenarm.episode.trace import Trace
from qwenarm.errors import BadInput
from qwenarm.evaluation import ledger
from qwenarm.evaluation.ledger import Key, Row, policy_hash
from qwenarm.evaluation.scheduler import Office, places
from qwenarm.evaluation.stats import Rate, success_rate
from qwenarm.evaluation.suites import FIRST_SEED, Cell, Suite, ad_hoc, suite_named
from qwenarm.evaluation.workers import Crew, Died, Played, Player, Processes, Rollout, Setting
from qwenarm.factory import assumed, make_env
from qwenarm.perturbations import parse
from qwenarm.policies import controls as all_controls
from qwenarm.policies import policy_entry
from qwenarm.registry import split_names
from qwenarm.types import RunConfig

USUAL = ("put", "stack", "sort")
"""The tasks that are played when nothing else is said."""


@dataclass(frozen=True)
class Plan:
    """What an evaluation plays. suite: as played; frozen: as defined; config: policy, model, arm, clock; controls:
    roles.
    """

    suite: Suite
    frozen: Suite
    config: RunConfig
    controls: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The policy, and then its controls."""
        return tuple(dict.fromkeys((self.config.policy, *self.controls)))

    def check(self) -> None:
        """Raises UnknownName and BadInput, before a model is loaded, for whatever does not exist."""
        self.suite.check()
        parse_clock(self.config.clock)
        for role in self.roles:
            policy_entry(role)
        for cell in self.suite.cells():
            make_env(self.at(cell, self.config.policy)).close()

    def at(self, cell: Cell, role: str) -> RunConfig:
        """What plays in a cell."""
        perturbations = parse(cell.perturbations)
        return replace(self.config, task=cell.task, level=cell.level, perturbations=perturbations, policy=role)

    def plays_perturbed(self, role: str) -> bool:
        """Whether a role plays the perturbed episodes, too."""
        return role == self.config.policy or policy_entry(role).under_perturbations

    def jobs(self, hashes: Mapping[str, str]) -> Iterator[Rollout]:
        """Every episode, the policy's own first. hashes: by role."""
        for role in self.roles:
            perturbed = self.plays_perturbed(role)
            for cell, seeds in self.suite.cells().items():
                if not cell.perturbations or perturbed:
                    yield from (self._job(cell, role, FIRST_SEED + i, hashes[role]) for i in range(seeds))

    def _job(self, cell: Cell, role: str, seed: int, policy: str) -> Rollout:
        config = self.at(cell, role)
        where = (cell.task, cell.level, seed, config.arm, config.combos, cell.perturbations)
        return Rollout(config, seed, Key(self.suite.name, *where, config.clock, policy))


def plan(
    config: RunConfig,
    suite: str = "",
    tasks: str = "",
    level: int | None = None,
    seeds: int | None = None,
    perturbations: str | None = None,
    controls: str = "",
) -> Plan:
    """A plan from the words of a command line.

    Args:
        config: Everything but task, level and perturbations.
        suite: A name or a JSON file. Without one the tasks are played at one level, as in ``suites.ad_hoc``.
        tasks, level, seeds: Narrow the suite.
        perturbations: "look:2,words:1" plays two sets of perturbations, "look:2+words:1" one of two, "none" none.
        controls: "all", "none" or policies. By default a suite is played by all that suit the policy: those that are
            the same model with something changed only beside a model.

    Raises:
        UnknownName, BadInput: something does not exist, or nothing is left to play.
    """
    names, sets = split_names(tasks, "--task"), None if perturbations is None else _sets(perturbations)
    if suite:
        frozen = suite_named(suite)
        played = frozen.narrowed(names, level, seeds, sets)
    else:
        frozen = played = ad_hoc(names or USUAL, level or 1, 20 if seeds is None else seeds, sets or ())
    named = {"all": all_controls(), "none": (), "": _usual_controls(config.policy) if suite else ()}
    roles = named[controls] if controls in named else tuple(split_names(controls, "--controls"))
    found = Plan(played, frozen, config, roles)
    found.check()
    return found


def _usual_controls(policy: str) -> tuple[str, ...]:
    """The controls that suit a policy; none for a control."""
    if policy in all_controls():
        return ()
    with_model = policy_entry(policy).needs_model
    return tuple(role for role in all_controls() if with_model or not policy_entry(role).needs_model)


def _sets(text: str) -> list[str]:
    """Each set of perturbations as text for ``perturbations.parse``."""
    return [] if text == "none" else [word.replace("+", ",") for word in split_names(text, "--perturbations")]


@dataclass(frozen=True)
class Begun:
    """The first event of an evaluation.

    total: how many episodes it has. rows: those that are in the ledger already. warnings: sentences for the user, about
    damaged lines of the ledger and about what had to be assumed of a model.
    """

    total: int
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()


Event = Begun | Row | Died


def evaluate(plan: Plan, folder: Path, workers: int = 1, batch: int = 1, ray: str = "") -> Generator[Event, None, None]:
    """Plays what the folder's ledger does not hold yet: first Begun, then the row of every episode as it is stored, and
    the deaths of workers.

    workers: processes, or actors of the Ray cluster at the address ``ray``. batch: episodes that each plays in
    lockstep; one under the clock ``wall``, for a world that runs on waits for nobody's prompts but its own. Stopping it
    (``close``, Ctrl-C) stops the workers. Raises UnknownName, BadInput and ModelUnavailable; what was finished is kept.
    """
    if workers < 1 or batch < 1:
        raise BadInput("--workers and --batch must be at least 1.")
    batch = 1 if plan.config.clock == "wall" else batch
    setting = Setting(plan.at(next(iter(plan.suite.cells())), plan.config.policy), plan.roles, batch)
    trace = Trace(folder)
    with ledger.locked(folder):
        alone = workers == 1 and not ray
        yield from _alone(plan, trace, setting) if alone else _together(plan, trace, setting, workers, ray)


def _alone(plan: Plan, trace: Trace, setting: Setting) -> Iterator[Event]:
    """In this process."""
    player = Player(setting)
    begun, todo = _begin(plan, trace, player.policies)
    yield begun
    for episode in player.play(todo):
        trace.append(episode)
        yield Row.of(episode)


def _together(plan: Plan, trace: Trace, setting: Setting, workers: int, ray: str) -> Iterator[Event]:
    """By several workers."""
    episodes = len(plan.roles) * sum(plan.suite.cells().values())
    setting = replace(setting, batch=places(episodes, workers, setting.batch))
    with closing(Office(_crew(setting, workers, ray), workers, setting.batch)) as office:
        begun, todo = _begin(plan, trace, office.open())
        yield begun
        for event in office.play(todo):
            if isinstance(event, Played):
                trace.store(event.packed)
                yield event.row
            elif isinstance(event, Died):
                yield event


def _crew(setting: Setting, workers: int, ray: str) -> Crew:
    if not ray:
        return Processes(setting)
    from qwenarm.evaluation.ray_workers import Cluster

    return Cluster(setting, ray, workers)


def _begin(plan: Plan, trace: Trace, policies: Mapping[str, Mapping[str, Any]]) -> tuple[Begun, list[Rollout]]:
    """Writes the manifest; tells what stands in the ledger and what is to be played."""
    hashes = {role: policy_hash(told) for role, told in policies.items()}
    jobs = list(plan.jobs(hashes))
    config = plan.config
    run = {"arm": config.arm, "combos": config.combos, "clock": config.clock}
    run |= {"perturbed": [role for role in plan.roles if plan.plays_perturbed(role)]}
    run |= {"controls": list(plan.controls), "policies": hashes, "episodes": len(jobs)}
    models = {role: config.model if policy_entry(role).needs_model else "" for role in policies}
    models = {role: config.model if policy_entry(role).needs_model else "" for role in policies}
    by_hash = {
        hashes[role]: {"role": role, "model": models[role], "describe": dict(told)} for role, told in policies.items()
    }
    ledger.enter(trace.folder, plan.suite, plan.frozen, run, by_hash)
    wanted = {job.key for job in jobs}
    warnings = list(filter(None, dict.fromkeys(assumed(told) for told in policies.values())))
    have = {row.key: row for row in ledger.rows(trace.folder, warnings) if row.key in wanted}
    return Begun(len(jobs), tuple(have.values()), tuple(warnings)), [job for job in jobs if job.key not in have]


@dataclass(frozen=True)
class Score:
    """How a policy did in one cell."""

    role: str
    cell: Cell
    rate: Rate


def scores(rows: Iterable[Row], plan: Plan | None = None) -> list[Score]:
    """One score for each role and cell, in the order of the rows, or of the plan, since workers finish in any order."""
    groups: dict[tuple[str, Cell], list[str]] = defaultdict(list)
    for role, cell in [(role, cell) for role in plan.roles for cell in plan.suite.cells()] if plan else []:
        groups[role, cell] = []
    for row in rows:
        groups[row.role, Cell(row.key.task, row.key.level, row.key.perturbations)].append(row.outcome)
    return [Score(role, cell, success_rate(group)) for (role, cell), group in groups.items() if group]
