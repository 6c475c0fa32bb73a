"""Commands that teach: train, improve."""

# Everything heavy is imported inside the command that needs it, so that help comes at once.

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import subcommand

from qwenarm.cli.options import Combinations, Level, Perturbed, TrainedModel, arg, out
from qwenarm.errors import BadInput
from qwenarm.registry import split_names


def _first_loss(report: Mapping[str, float]) -> str:
    name, value = next(iter(report.items()))
    return f"loss on {name} {value:.3f}"


def _reward(report: Mapping[str, float]) -> str:
    learned = "" if report["decisions"] else ", nothing learned: all attempts at a scene were worth the same"
    return f"reward {report['reward']:.2f}{learned}"


@dataclass(frozen=True)
class Sft:
    """Fine-tune a model on demonstrations.

    Example: qwenarm train sft --data runs/data --steps 2000 --out runs/sft

    Example: qwenarm train sft --model Qwen/Qwen3-VL-2B-Instruct --lora --data runs/data --lr 2e-4
    """

    data: Annotated[tuple[Path, ...], arg(help="folders that `qwenarm collect` has filled")] = (Path("runs/data"),)
    model: Annotated[
        str, arg(metavar="MODEL", help="the model to begin with: bundled, a folder, or with --lora also a Hub id")
    ] = "bundled"
    held_out: Annotated[
        tuple[Path, ...], arg(help="demonstrations with other seeds, to measure progress; default: none")
    ] = ()
    steps: Annotated[int, arg(help="optimiser steps")] = 1000
    batch: Annotated[int, arg(help="decisions per step")] = 64
    lr: Annotated[float, arg(help="learning rate; 2e-4 is usual with --lora")] = 8e-4
    optimizer: Annotated[
        Literal["muon", "adamw"], arg(help="muon (for matrices, AdamW for the rest), or adamw for all")
    ] = "muon"
    mix: Annotated[
        str,
        arg(metavar="TASK=WEIGHT", help="weights with which tasks are drawn, such as sort=2,long=0.5; default: 1 each"),
    ] = ""
    supervise: Annotated[bool, arg(help="supervise attention and visual tokens too, not only answers")] = True
    typing_errors: Annotated[
        float, arg(metavar="SHARE", help="share of the decisions whose task is read with new typing errors")
    ] = 0.0
    eye_steps: Annotated[int, arg(help="train the vision tower alone for so many steps first")] = 0
    fresh: Annotated[bool, arg(help="begin with random weights in the model's shape")] = False
    lora: Annotated[bool, arg(help="train a LoRA adapter with peft instead, for a real Qwen")] = False
    processes: Annotated[int, arg(help="number of processes on a CPU, one thread each")] = 1
    every: Annotated[int, arg(help="steps between checkpoints")] = 100
    seed: Annotated[int, arg(help="seed of the order of the data, and of fresh weights")] = 0
    out_folder: Annotated[
        Path, arg(name="out", help="folder for state, log, curve and checkpoint; a stopped run goes on from there")
    ] = Path("runs/sft")
    quick: Annotated[bool, arg(help="two small steps, a try in seconds")] = False

    def run(self) -> None:
        """Trains, with progress on the terminal."""
        steps, batch, every = (2, 4, 1) if self.quick else (self.steps, self.batch, self.every)
        if self.lora:
            from qwenarm.train.lora import train_adapter

            how = {"steps": steps, "batch": batch, "lr": self.lr, "seed": self.seed}
            folder = train_adapter(self.model, self.data, self.out_folder, **how)
            out.print_places({"adapter": folder, "use it as": f"--model {self.model}#adapter={folder}"})
            return
        from qwenarm.train.learner import Settings
        from qwenarm.train.sft import SftOptions, fine_tune

        settings = Settings(
            lr=self.lr,
            steps=steps,
            optimizer=self.optimizer,
            supervise=self.supervise,
            typing_errors=self.typing_errors,
            eye_steps=self.eye_steps,
            fresh=self.fresh,
            seed=self.seed,
        )
        mix, looked = _shares(self.mix), self.held_out
        options = SftOptions(
            self.data, self.out_folder, self.model, looked, batch, mix, self.processes, every, settings
        )
        with _steps_told("--steps") as tell:
            folder = fine_tune(options, lambda step, report: tell(_first_loss(report), step, steps))
        out.print_places({"checkpoint": folder, "use it as": f"--model {folder}"})
        _draw(self.out_folder)


@dataclass(frozen=True)
class Rl:
    """Let a small model learn by playing: several attempts at each scene, and what did better becomes likelier.

    Example: qwenarm train rl --task stack --level 2 --model runs/sft/checkpoint --out runs/rl
    """

    task: Annotated[str, arg(metavar="TASKS", help="tasks such as put,stack, played in turn")] = "stack"
    level: Level = 1
    model: TrainedModel = "bundled"
    perturbations: Perturbed = ""
    combos: Combinations = ""
    iterations: Annotated[int, arg(help="how many times new scenes are played and one step is made")] = 20
    scenes: Annotated[int, arg(help="scenes per iteration")] = 6
    attempts: Annotated[int, arg(help="attempts at each scene")] = 8
    lr: Annotated[float, arg(help="learning rate")] = 1e-3
    kl: Annotated[float, arg(help="weight of the KL penalty for leaving the first model")] = 0.02
    watched: Annotated[int, arg(help="scenes of each task to measure on, never learned from")] = 20
    every: Annotated[int, arg(help="iterations between checkpoints, and between measurements")] = 10
    seed: Annotated[int, arg(help="seed of the first scene, below 950000")] = 500_000
    out_folder: Annotated[
        Path, arg(name="out", help="folder for state, log and checkpoint; a stopped run goes on from there")
    ] = Path("runs/rl")
    quick: Annotated[bool, arg(help="one small iteration, a quick try")] = False

    def run(self) -> None:
        """Learns, with progress on the terminal."""
        from qwenarm.perturbations import parse
        from qwenarm.train.learner import Settings
        from qwenarm.train.rl import RlOptions, reinforce
        from qwenarm.types import RunConfig

        iterations, scenes, attempts, watched, every = (
            (1, 1, 2, 1, 1) if self.quick else (self.iterations, self.scenes, self.attempts, self.watched, self.every)
        )
        config = RunConfig(
            level=self.level, model=self.model, combos=self.combos, perturbations=parse(self.perturbations)
        )
        settings = Settings(lr=self.lr, seed=self.seed)
        tasks = tuple(split_names(self.task, "--task"))
        options = RlOptions(
            config, tasks, self.out_folder, iterations, scenes, attempts, self.kl, watched, every, settings
        )
        with _steps_told("--iterations") as tell:
            folder = reinforce(options, lambda number, report: tell(_reward(report), number, iterations))
        out.print_places({"checkpoint": folder, "use it as": f"--model {folder}"})


@dataclass(frozen=True)
class Chunk:
    """Train a head for --altitude chunk, from what `qwenarm collect --altitude chunk` has collected.

    Example: qwenarm train chunk --data runs/chunks --steps 1500 --out runs/chunk
    """

    data: Annotated[tuple[Path, ...], arg(help="folders that `qwenarm collect --altitude chunk` has filled")] = (
        Path("runs/data"),
    )
    model: TrainedModel = "bundled"
    held_out: Annotated[
        tuple[Path, ...], arg(help="the same with other seeds, to measure progress; default: none")
    ] = ()
    steps: Annotated[int, arg(help="optimiser steps")] = 1500
    batch: Annotated[int, arg(help="samples per step")] = 32
    lr: Annotated[float, arg(help="learning rate")] = 8e-4
    every: Annotated[int, arg(help="steps between checkpoints")] = 100
    seed: Annotated[int, arg(help="seed of the order of the data")] = 0
    out_folder: Annotated[
        Path, arg(name="out", help="folder for state, log and checkpoint; a stopped run goes on from there")
    ] = Path("runs/chunk")
    quick: Annotated[bool, arg(help="two small steps, a try in seconds")] = False

    def run(self) -> None:
        """Trains, with progress on the terminal."""
        from qwenarm.train.chunk_training import ChunkOptions, train_chunks
        from qwenarm.train.learner import Settings

        steps, batch, every = (2, 4, 1) if self.quick else (self.steps, self.batch, self.every)
        settings = Settings(lr=self.lr, steps=steps, seed=self.seed)
        options = ChunkOptions(self.data, self.out_folder, self.model, self.held_out, batch, every, settings)
        with _steps_told("--steps") as tell:
            folder = train_chunks(
                options, lambda step, report: tell(f"loss on actions {report['actions']:.3f}", step, steps)
            )
        out.print_places({"checkpoint": folder, "use it as": f"--altitude chunk --model {folder}"})


def train(
    how: Annotated[Sft, subcommand(name="sft", prefix_name=False)]
    | Annotated[Rl, subcommand("rl", prefix_name=False)]
    | Annotated[Chunk, subcommand("chunk", prefix_name=False)],
) -> int:
    """Teach a model: from demonstrations (sft), by playing (rl), or to move without skills (chunk).

    Example: qwenarm train sft --help
    """
    how.run()
    return 0


def improve(
    task: Annotated[str, arg(metavar="TASKS", help="tasks to improve on, such as put,stack, also module:NAME")],
    level: Level = 1,
    model: TrainedModel = "bundled",
    combos: Combinations = "",
    rounds: Annotated[int, arg(help="maximum number of rounds; it stops when a round no longer helps")] = 4,
    episodes: Annotated[int, arg(help="episodes to collect per task and round")] = 100,
    steps: Annotated[int, arg(help="fine-tuning steps per round")] = 200,
    lr: Annotated[float, arg(help="learning rate")] = 8e-4,
    watched: Annotated[int, arg(help="scenes of each task to measure on after each round, never learned from")] = 40,
    rl_iterations: Annotated[int, arg(help="iterations of `qwenarm train rl` after the fine-tuning of each round")] = 0,
    seed: Annotated[int, arg(help="seed of the first training scene, below 950000")] = 0,
    workers: Annotated[int, arg(help="number of processes")] = 1,
    out_folder: Annotated[
        Path, arg(name="out", help="folder for all results; a stopped run goes on from there")
    ] = Path("runs/improve"),
    quick: Annotated[bool, arg(help="one small round, a quick try")] = False,
) -> int:
    """Collect, fine-tune, play and measure in rounds, until they no longer help.

    improve.html in the folder shows success after each round, what it cost, why episodes failed, and films.

    Example: qwenarm improve --task my_module:TASK --workers 2
    """
    from qwenarm.display.progress import telling
    from qwenarm.display.tables import fitted_table
    from qwenarm.train.improve import WATCHED_FOLDER, ImproveOptions, rounds_of
    from qwenarm.train.improve import improve as improve_model
    from qwenarm.train.improve_page import PAGE_FILE, success_of
    from qwenarm.train.learner import Settings
    from qwenarm.types import RunConfig

    rounds, episodes, steps, watched = (1, 2, 2, 1) if quick else (rounds, episodes, steps, watched)
    config = RunConfig(level=level, model=model, combos=combos)
    tasks = tuple(split_names(task, "--task"))
    settings = Settings(lr=lr, steps=steps, seed=seed)
    options = ImproveOptions(config, tasks, out_folder, rounds, episodes, watched, workers, rl_iterations, settings)
    with telling(out) as tell:
        best = improve_model(options, tell)
    out.print(fitted_table(*success_of(list(rounds_of(out_folder)), watched), out.width))
    out.print_places({"page": out_folder / PAGE_FILE, "checkpoint": best, "use it as": f"--model {best}"})
    out.print_places({"next": shlex.join(["qwenarm", "report", str(out_folder / WATCHED_FOLDER)])})
    return 0


@contextmanager
def _steps_told(option: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress as ``telling`` shows it; if all steps had been made before, a line names the option for more."""
    from qwenarm.display.progress import telling

    made = False

    def tell(what: str, done: int, total: int) -> None:
        nonlocal made
        made = True
        show(what, done, total)

    with telling(out) as show:
        yield tell
    if not made:
        out.print(f"All steps had been made before; a larger {option} goes on from there.", style="yellow")


def _draw(folder: Path) -> None:
    from qwenarm.train.curve import draw_curve

    try:
        out.print_places({"curve": draw_curve(folder)})
    except BadInput as error:  # the checkpoint is what matters
        out.warn([str(error)])


def _shares(mix: str) -> dict[str, float]:
    pairs = (pair.partition("=") for pair in split_names(mix, "--mix"))
    return {name: _number(value, "--mix") for name, _, value in pairs}


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{option} takes pairs such as sort=2, not {text!r}.") from None
