"""Episodes as an evaluation log of Inspect (.eval): one sample each, with the whole dialogue and its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from qwenarm.episode.trace import png, png_url
from qwenarm.export import library
from qwenarm.export.chat import decisions
from qwenarm.export.episodes import converted
from qwenarm.types import Episode, Outcome

MAX_EPISODE_S = 30 * 86_400.0
"""No episode takes longer, s: the log's dates follow from how long all took."""


def write_log(episodes: Iterable[Episode], path: Path, problems: list[str], checked: bool = True) -> int:
    """Writes the log of one evaluation, if there is an episode. Returns how many samples it holds.

    Args:
        episodes: What is written.
        path: The log.
        problems: Gets a sentence for each episode that is left out.
        checked: Whether the episodes were played again, to check their outcomes. It is noted in each sample.

    Raises:
        BadInput: inspect_ai is missing.
    """
    log, number = library("inspect_ai.log", "inspect-ai"), count()
    made = list(converted(episodes, lambda each: (each, _sample(log, each, next(number), checked)), problems))
    if not made:
        return 0
    played, samples = [episode for episode, _ in made], [sample for _, sample in made]
    names = sorted({episode.run.config.model or episode.policy for episode in played})
    share = sum(episode.outcome is Outcome.SUCCESS for episode in played) / len(played)
    end = datetime.now(UTC)  # a trace holds durations, no dates
    start = end - timedelta(seconds=sum(sample.total_time for sample in samples))
    spec = log.EvalSpec(
        created=end.isoformat(),
        task="qwenarm",
        dataset=log.EvalDataset(name=path.stem, samples=len(samples)),
        model=f"qwenarm/{'+'.join(names)}",
        config=log.EvalConfig(),
        packages=dict(played[0].run.versions),
    )
    metrics = {"accuracy": log.EvalMetric(name="accuracy", value=share)}
    scores = [log.EvalScore(name="success", scorer="success", metrics=metrics)]
    results = log.EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=scores)
    path.parent.mkdir(parents=True, exist_ok=True)
    stats = log.EvalStats(started_at=start.isoformat(), completed_at=end.isoformat())
    written = log.EvalLog(status="success", eval=spec, results=results, samples=samples, stats=stats)
    log.write_eval_log(written, str(path), format="eval")
    return len(samples)


def _sample(log: Any, episode: Episode, number: int, checked: bool) -> Any:
    scorer, model = library("inspect_ai.scorer", "inspect-ai"), library("inspect_ai.model", "inspect-ai")
    value = "C" if episode.outcome is Outcome.SUCCESS else "I"
    score = scorer.Score(value=value, answer=str(episode.outcome), explanation=episode.detail or None)
    config, took_s = episode.run.config, sum(sum(turn.seconds.values()) for turn in episode.turns)
    if not 0 <= took_s <= MAX_EPISODE_S:
        raise ValueError(f"it took {took_s:.3g} s")
    facts = {"seed": episode.seed, "level": config.level, "progress": episode.progress, "policy": config.policy}
    name = f"{config.task}-{config.level}-{episode.seed}-{config.policy}-{number}"
    sample = log.EvalSample(
        id=re.sub(r"[^\w.-]+", "_", name),  # it names a file within the log
        epoch=1,
        input=episode.instruction,
        target=str(Outcome.SUCCESS),
        messages=list(_dialogue(model, episode)),
        scores={"success": score},
        metadata={**facts, "model": config.model, "versions": dict(episode.run.versions), "outcome_checked": checked},
        total_time=took_s,
    )
    sample.model_dump_json()  # raises a ValueError for text that is no Unicode, rather than when all is written
    return sample


def _dialogue(model: Any, episode: Episode) -> Iterator[Any]:
    """What was asked and answered. The system message is the same each time, and stands only at the beginning."""
    for number, row in enumerate(decisions(episode)):
        images = iter(row["images"])
        for message in row["prompt"]:
            if message["role"] == "system":
                if number == 0:
                    yield model.ChatMessageSystem(content=message["content"][0]["text"])
                continue
            parts = [_part(model, part, images) for part in message["content"]]
            yield model.ChatMessageUser(content=parts)
        yield model.ChatMessageAssistant(content=row["completion"][0]["content"][0]["text"])
    last = [model.ContentImage(image=png_url(png(frame.rgb))) for frame in episode.last_frames]
    yield model.ChatMessageUser(content=[model.ContentText(text=f"The end: {episode.outcome}."), *last])


def _part(model: Any, part: dict[str, Any], images: Iterator[dict[str, Any]]) -> Any:
    if part["type"] == "image":
        return model.ContentImage(image=png_url(next(images)["bytes"]))
    return model.ContentText(text=part["text"])
