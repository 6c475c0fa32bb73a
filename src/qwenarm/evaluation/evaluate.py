"""Plays a suite with a policy and its controls, on the same seeds, into a ledger.

An evaluation can be killed at any time and started again: episodes in the ledger are kept, missing ones are played.
Episodes do not depend on the number of workers. They do not depend on the batch if the model's answer to a prompt
does not, which holds on a CPU in fp32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from qwenarm.body.reach import reach_of
from qwenarm.episode.trace import Trace
from qwenarm.errors import BadInput
from qwenarm.evaluation import ledger
from qwenarm.evaluation.jobs import EpisodeJob, EpisodeResult, PolicyFacts, WorkerDied
from qwenarm.evaluation.ledger import Key, Row, policy_hash
from qwenarm.evaluation.local_workers import LocalPool
from qwenarm.evaluation.scheduler import Pool, Scheduler, batch_per_worker
from qwenarm.evaluation.stats import Rate, success_rate
from qwenarm.evaluation.suites import Cell, Suite, ad_hoc
from qwenarm.evaluation.workers import EpisodeWorker, MakeWatchers, WorkerConfig, nobody_watches
from qwenarm.factory import assumed, check_choices, make_env
from qwenarm.perturbations import parse
from qwenarm.policies import controls as all_controls
from qwenarm.policies import policy_entry
from qwenarm.registry import is_foreign, load, split_names
from qwenarm.types import RunConfig

DEFAULT_TASKS = ("put", "stack", "sort")
"""Tasks of an evaluation without a suite, unless others are named."""


@dataclass(frozen=True)
class Plan:
    """What an evaluation plays.

    Attributes:
        suite: As played.
        frozen: As defined.
        config: Everything but task, level and perturbations.
        controls: The policies that play besides the config's own.
    """

    suite: Suite
    frozen: Suite
    config: RunConfig
    controls: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The policy, then its controls."""
        return tuple(dict.fromkeys((self.config.policy, *self.controls)))

    def check(self, folder: Path | None = None) -> None:
        """Raises UnknownName or BadInput for what does not exist or cannot be played, before a model is loaded.

        folder: of a ledger. The scenes of its episodes were built before, and are not built again.
        """
        self.suite.check()
        for role in self.roles:
            check_choices(replace(self.config, policy=role))
        if self.config.control and self.controls:
            raise BadInput(f"--control {self.config.control} is for one policy, and no control plays beside it.")
        for cell in self.suite.cells():
            make_env(self.at(cell, self.config.policy)).close()
        self._check_scenes(set() if folder is None else self._built(folder))

    def _built(self, folder: Path) -> set[tuple[str, int, int]]:
        """Task, level and seed of the episodes in a ledger that had this plan's scenes."""
        ours, keys = (self.config.arm, self.config.combos, ""), (row.key for row in ledger.rows(folder, []))
        return {(key.task, key.level, key.seed) for key in keys if (key.arm, key.combos, key.perturbations) == ours}

    def _check_scenes(self, built: set[tuple[str, int, int]]) -> None:
        """Builds the first scene of each task and level or, for an arm that does not reach everything, all of them.

        Not those that were built before, nor those of code from outside this package, which no evaluation runs in its
        own process.
        """
        seeds = dict[tuple[str, int], int]()
        for cell, count in self.suite.cells().items():
            seeds[cell.task, cell.level] = max(count, seeds.get((cell.task, cell.level), 0))
        limited = reach_of(load("arms", self.config.arm)) is not None
        for (task, level), count in seeds.items():
            if not is_foreign(task):
                env = make_env(replace(self.config, task=task, level=level))
                for seed in self._seeds(count if limited else 1):
                    if (task, level, seed) not in built:
                        env.build(seed)

    def at(self, cell: Cell, role: str) -> RunConfig:
        """Returns what plays in a cell."""
        perturbations = parse(cell.perturbations)
        return replace(self.config, task=cell.task, level=cell.level, perturbations=perturbations, policy=role)

    def plays_perturbed(self, role: str) -> bool:
        """Returns whether a role also plays the perturbed episodes."""
        return role == self.config.policy or policy_entry(role).under_perturbations

    def jobs(self, hashes: Mapping[str, str]) -> Iterator[EpisodeJob]:
        """Yields every episode, the policy's own first. ``hashes`` are the policies' hashes by role."""
        for role in self.roles:
            perturbed = self.plays_perturbed(role)
            for cell, seeds in self.suite.cells().items():
                if not cell.perturbations or perturbed:
                    yield from self._jobs_of(cell, role, seeds, hashes[role])

    def _jobs_of(self, cell: Cell, role: str, seeds: int, policy: str) -> Iterator[EpisodeJob]:
        config = self.at(cell, role)
        for seed in self._seeds(seeds):
            where = (cell.task, cell.level, seed, config.arm, config.combos, cell.perturbations)
            yield EpisodeJob(config, seed, Key(self.suite.name, *where, config.clock, policy))

    def _seeds(self, count: int) -> range:
        return range(self.suite.first_seed, self.suite.first_seed + count)

    def runs_foreign_code(self) -> bool:
        """Whether anything that is played is code from outside this package.

        Code in the user's own script or notebook does not count: no other process could import it.
        """
        config, cells = self.config, self.suite.cells()
        axes = [axis for cell in cells for axis, _ in parse(cell.perturbations)]
        model = config.model.partition("#")[0]
        tasks, cameras = [cell.task for cell in cells], config.cameras.split(",")
        names = [config.arm, model, *self.roles, *tasks, *axes, *cameras]
        return any(is_foreign(name) and not name.startswith("__main__:") for name in names)


def plan(
    config: RunConfig,
    suite: Suite | None = None,
    tasks: str = "",
    level: int | None = None,
    seeds: int | None = None,
    perturbations: str | None = None,
    controls: str = "",
    folder: Path | None = None,
) -> Plan:
    """Makes a plan from command-line options.

    Args:
        config: Everything but task, level and perturbations.
        suite: As defined. Without one the tasks are played at one level, see ``suites.ad_hoc``.
        tasks, level, seeds: Narrow the suite.
        perturbations: "look:2,words:1" plays two sets of perturbations, "look:2+words:1" one set of two, "none"
            none.
        controls: "all", "none" or policies. By default all controls that suit the policy play a suite; variants of
            the model only suit a model.
        folder: The ledger's folder, if it may hold episodes already.

    Raises:
        UnknownName, BadInput: Something does not exist, or nothing is left to play.
    """
    names, sets = split_names(tasks, "--task"), None if perturbations is None else _sets(perturbations)
    if suite:
        frozen, played = suite, suite.narrowed(names, level, seeds, sets)
    else:
        frozen = played = ad_hoc(names or DEFAULT_TASKS, level or 1, 20 if seeds is None else seeds, sets or ())
    named = {"all": all_controls(), "none": (), "": _usual_controls(config) if suite else ()}
    roles = named[controls] if controls in named else tuple(split_names(controls, "--controls"))
    found = Plan(played, frozen, config, roles)
    found.check(folder)
    return found


def _usual_controls(config: RunConfig) -> tuple[str, ...]:
    """Returns the controls that suit a policy; none for a control, and none for LIBERO's own arm."""
    if config.policy in all_controls() or config.control:
        return ()
    with_model = policy_entry(config.policy).needs_model
    return tuple(role for role in all_controls() if with_model or not policy_entry(role).needs_model)


def _sets(text: str) -> list[str]:
    """Returns each set of perturbations as text for ``perturbations.parse``."""
    return [] if text == "none" else [word.replace("+", ",") for word in split_names(text, "--perturbations")]


@dataclass(frozen=True)
class Begun:
    """The first event of an evaluation.

    Attributes:
        total: Number of episodes.
        rows: The episodes that are already in the ledger.
        warnings: Sentences for the user, about damaged lines of the ledger and assumptions about a model.
    """

    total: int
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()


Event = Begun | Row | WorkerDied


def evaluate(
    plan: Plan, folder: Path, workers: int = 1, batch: int = 1, ray: str = "", watch: MakeWatchers = nobody_watches
) -> Generator[Event, None, None]:
    """Plays the episodes that are not yet in the folder's ledger.

    A single worker is this process, unless foreign code is played: that runs in a process of its own, so that it can
    neither end nor stall the evaluation. Stopping the generator (``close``, Ctrl-C) stops the workers.

    Args:
        plan: What is played.
        folder: The ledger's folder; created if it does not exist.
        workers: Number of processes, or of actors on a Ray cluster.
        batch: Episodes that each worker plays in lockstep. With the clock ``wall`` it is one, because an episode's
            world must not wait for the prompts of others.
        ray: The address of a Ray cluster.
        watch: Makes the watchers of an episode; see ``WorkerConfig``.

    Yields:
        Begun, then the row of every episode as it is stored, and deaths of workers.

    Raises:
        UnknownName, BadInput, ModelUnavailable, MachineFailure: The evaluation cannot continue. Finished episodes
            are kept.
    """
    if workers < 1 or batch < 1:
        raise BadInput("--workers and --batch must be at least 1.")
    batch = 1 if plan.config.clock == "wall" else batch
    foreign = plan.runs_foreign_code()
    first = plan.at(next(iter(plan.suite.cells())), plan.config.policy)
    setup = WorkerConfig(first, plan.roles, batch, foreign, watch)
    with ledger.locked(folder):
        if workers == 1 and not ray and not foreign:
            yield from _play_here(plan, folder, setup)
        else:
            yield from _play_by_workers(plan, folder, setup, workers, ray)


def _play_here(plan: Plan, folder: Path, setup: WorkerConfig) -> Iterator[Event]:
    """Plays in this process."""
    worker = EpisodeWorker(setup)
    begun, todo = _begin(plan, folder, worker.policies)
    trace = Trace(folder)
    yield begun
    for episode in worker.play(todo):
        trace.append(episode)
        yield Row.of(episode)


def _play_by_workers(plan: Plan, folder: Path, setup: WorkerConfig, workers: int, ray: str) -> Iterator[Event]:
    episodes = len(plan.roles) * sum(plan.suite.cells().values())
    setup = replace(setup, batch=batch_per_worker(episodes, workers, setup.batch))
    with closing(Scheduler(_pool(setup, workers, ray), workers, setup.batch)) as scheduler:
        begun, todo = _begin(plan, folder, scheduler.start())
        trace = Trace(folder)
        yield begun
        for event in scheduler.run(todo):
            if isinstance(event, EpisodeResult):
                trace.store(event.packed)
                yield event.row
            elif isinstance(event, WorkerDied):
                yield event


def _pool(setup: WorkerConfig, workers: int, ray: str) -> Pool:
    if not ray:
        return LocalPool(setup)
    from qwenarm.evaluation.ray_workers import RayPool

    return RayPool(setup, ray, workers)


def _begin(plan: Plan, folder: Path, policies: PolicyFacts) -> tuple[Begun, list[EpisodeJob]]:
    """Writes the manifest. Returns what is already in the ledger, and the jobs that remain."""
    hashes = {role: policy_hash(told) for role, told in policies.items()}
    jobs = list(plan.jobs(hashes))
    config = plan.config
    run = {"arm": config.arm, "combos": config.combos, "clock": config.clock}
    run |= {"perturbed": [role for role in plan.roles if plan.plays_perturbed(role)]}
    run |= {"controls": list(plan.controls), "policies": hashes, "episodes": len(jobs)}
    models = {role: config.model if policy_entry(role).needs_model else "" for role in policies}
    by_hash = {
        hashes[role]: {"role": role, "model": models[role], "describe": dict(told)} for role, told in policies.items()
    }
    ledger.enter(folder, plan.suite, plan.frozen, run, by_hash)
    wanted = {job.key for job in jobs}
    warnings = list(filter(None, dict.fromkeys(assumed(told) for told in policies.values())))
    have = {row.key: row for row in ledger.rows(folder, warnings) if row.key in wanted}
    return Begun(len(jobs), tuple(have.values()), tuple(warnings)), [job for job in jobs if job.key not in have]


@dataclass(frozen=True)
class Score:
    """The result of a policy in one cell."""

    role: str
    cell: Cell
    rate: Rate


def scores(rows: Iterable[Row], plan: Plan | None = None) -> list[Score]:
    """Returns a score for each role and cell, in the order of the plan, or of the rows if there is none."""
    groups: dict[tuple[str, Cell], list[str]] = defaultdict(list)
    for role, cell in [(role, cell) for role in plan.roles for cell in plan.suite.cells()] if plan else []:
        groups[role, cell] = []
    for row in rows:
        groups[row.role, Cell(row.key.task, row.key.level, row.key.perturbations)].append(row.outcome)
    return [Score(role, cell, success_rate(group)) for (role, cell), group in groups.items() if group]
