"""Train a model with TRL's GRPOTrainer: the arm is its environment, and the skills are its tools.

    pip install trl
    python examples/grpo_with_trl.py --model Qwen/Qwen3-VL-2B-Instruct --steps 100

Pictures come as results of tools: the first call is mostly ``look``. The reward is how far the goal was reached.
"""

from argparse import ArgumentParser
from typing import Any

from datasets import Dataset  # pyright: ignore[reportMissingImports]
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportMissingImports]

from qwenarm import RunConfig
from qwenarm.serve.session import AgentSession, Shown

PROMPT = "You control a robot arm. Look first. Then pick things and place them, and call done when the task is done."


class Arm:
    """One arm at its table. Its methods are the tools; points count from 0 to 1000."""

    def __init__(self) -> None:
        self._session = AgentSession(RunConfig("put"), "trl", frame_size=(192, 256))

    def reset(self, seed: int, **others: Any) -> str:
        self._session.close()
        return next(str(part) for part in self._session.begin(seed).parts if str(part).startswith("Task:"))

    def look(self) -> list:
        """Take the arm out of the picture and look."""
        return content(self._session.call("look", {}))

    def pick(self, at: dict) -> list:
        """Grasp the object at an image point and lift it.

        Args:
            at: The middle of the object, as {"label": "red cube", "point_2d": [x, y]}.
        """
        return content(self._session.call("pick", {"at": at}))

    def place(self, at: dict) -> list:
        """Put what the hand holds down at an image point.

        Args:
            at: The middle of the place, as {"label": "blue bowl", "point_2d": [x, y]}.
        """
        return content(self._session.call("place", {"at": at}))

    def done(self) -> list:
        """Say that the task is done."""
        return content(self._session.call("done", {}))

    def get_reward(self) -> float:
        self._session.close()
        return self._session.episode.progress if self._session.episode else 0.0


def content(shown: Shown) -> list[dict[str, Any]]:
    """What is shown, as the parts of a message."""
    texts_and_images = (part if isinstance(part, str) else Image.fromarray(part) for part in shown.parts)
    return [{"type": (kind := "text" if isinstance(part, str) else "image"), kind: part} for part in texts_and_images]


def main(words: list[str] | None = None, processor: Any = None) -> GRPOTrainer:
    parser = ArgumentParser()
    parser.add_argument("--model", default="Qwen/Qwen3-VL-2B-Instruct")
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args(words)
    options: dict[str, Any] = {"max_tool_calling_iterations": 6, "max_completion_length": 2048}
    config = GRPOConfig("runs/grpo", max_steps=args.steps, num_generations=4, per_device_train_batch_size=4, **options)
    rows = {"prompt": [[{"role": "user", "content": PROMPT}]] * 64, "seed": list(range(64))}
    model = AutoModelForImageTextToText.from_pretrained(args.model, dtype="float32")
    processor = processor or AutoProcessor.from_pretrained(args.model)
    given: dict[str, Any] = {"train_dataset": Dataset.from_dict(rows), "processing_class": processor}
    trainer = GRPOTrainer(model, args=config, environment_factory=Arm, **given)
    trainer.train()
    return trainer


if __name__ == "__main__":
    main()
