"""A new task in one file: clear the table into the tray. Nothing else has to be edited.

python examples/new_task.py --seeds 5                                # the oracle tries it
cd examples && qwenarm show new_task:TASK                            # any command takes module:NAME
cd examples && qwenarm run --task new_task:TASK --policy oracle
"""

import argparse
from dataclasses import dataclass

from qwenarm.body.objects.spec import GRASPABLE_SHAPES
from qwenarm.body.state import WorldState
from qwenarm.episode.drive import drive
from qwenarm.factory import perform
from qwenarm.tasks import SceneBuilder, Setup, Task
from qwenarm.types import RunConfig, SkillCall


@dataclass(frozen=True)
class Cleared:
    """Everything that can be picked up is in one container."""

    container: str

    def success(self, state: WorldState) -> bool:
        """Judged on the simulator's own state: everything inside and at rest, the hand empty."""
        return not self.loose(state) and state.at_rest() and state.holding is None

    def progress(self, state: WorldState) -> float:
        """The share of the objects that are inside."""
        return 1 - len(self.loose(state)) / sum(thing.spec.graspable for thing in state.objects.values())

    def solve(self, state: WorldState) -> list[SkillCall]:
        """The calls that remain for the oracle, with object ids as points."""
        moves = [(SkillCall("pick", {"at": i}), SkillCall("place", {"at": self.container})) for i in self.loose(state)]
        calls = [call for move in moves for call in move]
        return [*(calls[1:] if state.holding in self.loose(state) else calls), SkillCall("done")]

    def loose(self, state: WorldState) -> list[str]:
        """The ids of the objects that are not inside yet; what the hand holds comes first."""
        outside = [
            i for i, thing in state.objects.items() if thing.spec.graspable and not state.inside(i, self.container)
        ]
        return sorted(outside, key=lambda i: i != state.holding)


def make(builder: SceneBuilder, level: int) -> Setup:
    """One episode, drawn from the builder's random generator. Higher levels have more to clear."""
    tray = builder.add(["tray"])
    builder.add_up_to(level + 1, GRASPABLE_SHAPES)
    words = builder.rng.choice([f"put everything in the {tray.label}", f"clear the table into the {tray.label}"])
    return Setup(builder.build(needed=2), Cleared(tray.id), str(words), max_turns=2 * len(builder.specs) + 2)


TASK = Task("clear", "Clear the table into a tray.", ("two objects", "three objects"), make)


def main(arguments: list[str] | None = None) -> None:
    """Lets the oracle try the task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--level", type=int, default=1)
    args = parser.parse_args(arguments)
    config = RunConfig(f"{__name__}:TASK", args.level, policy="oracle")
    for episode in drive(perform(config, seed, backend=None) for seed in range(args.seeds)):
        print(f'seed {episode.seed}: "{episode.instruction}": {episode.outcome} after {len(episode.turns)} turns')


if __name__ == "__main__":
    main()
