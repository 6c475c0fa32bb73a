"""Play many episodes and measure success: ``qwenarm.evaluate``."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenarm.api.episodes import PolicyFunction, folder_name, policy_name
from qwenarm.errors import BadInput, UnknownName, import_optional
from qwenarm.mind.checkpoints.load import BUNDLED_MODEL
from qwenarm.policies import POLICY_SERVER_PREFIXES
from qwenarm.registry import is_foreign, list_names, load
from qwenarm.typed import typed_arguments
from qwenarm.types import RunConfig

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qwenarm.evaluation.evaluate import Plan, Score
    from qwenarm.evaluation.ledger import Row


@dataclass(frozen=True)
class Printable:
    """A table that prints itself in a terminal and displays itself in a notebook."""

    renderable: RenderableType

    def __rich__(self) -> RenderableType:
        return self.renderable

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=120, color_system=None)
        with console.capture() as captured:
            console.print(self.renderable)
        return captured.get()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation: its ledger on disk and the row of every episode.

    Attributes:
        folder: of the ledger, which ``qwenarm report`` and ``qwenarm attribute`` also read.
        rows: one for each episode.
        scores: successes, n and 95 % Wilson interval for each policy and cell.
    """

    folder: Path
    rows: tuple[Row, ...]
    scores: tuple[Score, ...]

    def table(self) -> Printable:
        """Returns the success rates with their intervals."""
        from qwenarm.display.progress import score_table

        return Printable(score_table(self.scores))

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_pandas(self) -> Any:
        """Returns a pandas.DataFrame with one row per episode: its key, policy, outcome, success and progress.

        Raises:
            BadInput: pandas is not installed.
        """
        pandas = import_optional("pandas", "to_pandas needs pandas: pip install pandas.")
        lines = [
            {**asdict(row.key), "policy": row.role, "outcome": str(row.outcome), "progress": row.progress}
            for row in self.rows
        ]
        frame = pandas.DataFrame(lines)
        frame["success"] = frame["outcome"] == "success"
        return frame

    @typed_arguments
    def compare(self, other: Evaluation, policy: str = "", other_policy: str = "") -> Printable:
        """Compares with another evaluation, paired by the seeds that both played. Both may share a ledger.

        Args:
            other: The evaluation to compare with; may be this one, with two of its policies.
            policy: Words of the policy's name here; by default its model, or its only policy, not a control.
            other_policy: The same for the other evaluation.

        Returns:
            What must be known first, and differences with 95 % intervals and exact McNemar tests.
        """
        from rich.console import Group
        from rich.text import Text

        from qwenarm.report.exports import printed
        from qwenarm.report.numbers import compare_runs

        mine, others = ({row.key for row in each.rows} for each in (self, other))
        problems, table = compare_runs(self.folder, other.folder, policy, other_policy, mine, others)
        return Printable(Group(*map(Text, problems), printed(table, 120)))

    @typed_arguments
    def report(self, folder: Path | str | None = None) -> Path:
        """Writes a static site about this evaluation, by default into its own folder. Returns its index.html."""
        from qwenarm.report import write_report

        return write_report([self.folder], Path(folder) if folder else self.folder / "report").index


@typed_arguments
def evaluate(
    policy_or_model: str | Path | PolicyFunction = "bundled",
    *,
    tasks: str | Collection[str] = "",
    suite: str = "",
    level: int | None = None,
    seeds: int | None = None,
    perturbations: str | None = None,
    controls: str | Collection[str] = "",
    arm: str = "panda",
    altitude: str = "step",
    combos: str = "all",
    cameras: str = "",
    clock: str = "paused",
    control: str = "",
    workers: int = 1,
    batch: int = 8,
    folder: Path | str | None = None,
) -> Evaluation:
    """Plays many episodes on fixed seeds and measures success. Killed at any time, the same call continues.

    Args:
        policy_or_model: a policy (its name, ``module:NAME`` or a function), or else the name of a model.
        tasks: names, as a list or separated by commas; by default those of the suite, or put, stack and sort.
        suite: "quick", "standard", "full" or a JSON file.
        level: only this level; by default all of the suite, or 1.
        seeds: per task, always the same first ones; by default those of the suite, or 20.
        perturbations: also played: "look:2,words:1" one by one, "look:2+words:1" both at once, "none".
        controls: played on the same seeds: "all", "none", or names; by default all with a suite and a model.
        arm, altitude, combos, cameras, clock, control: as in ``run``; combos is "all", "seen" or "unseen".
        workers: processes, each with its own model.
        batch: episodes that each process plays in lockstep.
        folder: of the ledger, continued if it exists; by default runs/SUITE or runs/eval-POLICY.

    Returns:
        The result, with ``table()``, ``to_pandas()``, ``compare(other)`` and ``report(folder)``.

    Raises:
        UnknownName, BadInput, ModelUnavailable: as in ``run``. What was finished is kept.

    Example:
        >>> blind = qa.evaluate("blind", tasks="put", seeds=50)
        >>> print(qa.evaluate("bundled", tasks="put", seeds=50).compare(blind))
    """
    from qwenarm.display.progress import show_evaluation
    from qwenarm.display.terminal import SafeConsole
    from qwenarm.evaluation.evaluate import scores

    policy, model = _policy_and_model(policy_or_model)
    config = RunConfig(
        arm=arm,
        policy=policy,
        model=model,
        altitude=altitude,
        combos=combos,
        cameras=cameras,
        clock=clock,
        control=control,
    )
    planned, home = plan_evaluation(config, tasks, suite, level, seeds, perturbations, controls, folder)
    rows = show_evaluation(SafeConsole(stderr=True), planned, home, workers=workers, batch=batch)
    return Evaluation(home, tuple(rows), tuple(scores(rows, planned)))


def plan_evaluation(
    config: RunConfig,
    tasks: str | Collection[str] = "",
    suite: str = "",
    level: int | None = None,
    seeds: int | None = None,
    perturbations: str | None = None,
    controls: str | Collection[str] = "",
    folder: Path | str | None = None,
) -> tuple[Plan, Path]:
    """Returns what an evaluation plays, and the folder of its ledger. The arguments are those of ``evaluate``."""
    from qwenarm.evaluation.evaluate import plan
    from qwenarm.evaluation.suites import suite_named

    if not isinstance(tasks, str) and not tasks:
        raise BadInput("tasks is empty: name some, or leave it out for the usual ones.")
    controls = controls if isinstance(controls, str) else ",".join(controls) or "none"
    asked = suite_named(suite) if suite else None
    name = asked.name if asked else f"eval-{re.sub(r'[^A-Za-z0-9_.-]+', '-', config.policy)}"
    home = Path(folder or Path("runs") / name)
    return plan(config, asked, _joined(tasks), level, seeds, perturbations, controls, home), home


def _policy_and_model(policy_or_model: str | Path | PolicyFunction) -> tuple[str, str]:
    """Returns the names of both. A ``module:NAME`` is a model if it is a BackendEntry."""
    if isinstance(policy_or_model, Path):
        return "vlm", folder_name(policy_or_model)
    if not isinstance(policy_or_model, str):
        return policy_name(policy_or_model), "bundled"
    name = policy_or_model.partition("#")[0]
    is_policy = name in list_names("policies") or name.startswith(POLICY_SERVER_PREFIXES)
    if is_foreign(name):
        from qwenarm.mind.backends import BackendEntry

        is_policy = not isinstance(load("policies", name), BackendEntry)
    if not is_policy and name.isidentifier() and name != BUNDLED_MODEL and not Path(name).exists():
        models = (BUNDLED_MODEL, "ORG/NAME", "./folder", "http://...")
        raise UnknownName("policy or model", name, [*list_names("policies"), *models])
    return (policy_or_model, "bundled") if is_policy else ("vlm", policy_or_model)


def _joined(names: str | Collection[str]) -> str:
    return names if isinstance(names, str) else ",".join(names)
