"""Episodes as an evaluation log of Inspect (.eval): one sample each, with the whole dialogue and its pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qwenarm.episode.trace import png
from qwenarm.export import library
from qwenarm.export.chat import decisions
from qwenarm.types import Episode, Outcome


def write_log(episodes: Iterable[Episode], path: Path) -> int:
    """Writes the log of one evaluation. Returns how many samples it holds. Raises BadInput without inspect_ai."""
    log, scorer = library("inspect_ai.log", "inspect-ai"), library("inspect_ai.scorer", "inspect-ai")
    model = library("inspect_ai.model", "inspect-ai")
    played: list[Episode] = []
    samples = []
    for episode in episodes:
        value = "C" if episode.outcome is Outcome.SUCCESS else "I"
        score = scorer.Score(value=value, answer=str(episode.outcome), explanation=episode.detail or None)
        config = episode.run.config
        about = {"seed": episode.seed, "level": config.level, "progress": episode.progress, "policy": config.policy}
        samples.append(
            log.EvalSample(
                id=f"{config.task}-{config.level}-{episode.seed}-{config.policy}-{len(samples)}",
                epoch=1,
                input=episode.instruction,
                target="C",
                messages=list(_dialogue(model, episode)),
                scores={"success": score},
                metadata=about,
            )
        )
        played.append(episode)
    names = sorted({episode.run.config.model or episode.policy for episode in played}) or ["none"]
    share = sum(episode.outcome is Outcome.SUCCESS for episode in played) / max(1, len(played))
    spec = log.EvalSpec(
        created=datetime.now(UTC).isoformat(),
        task="qwenarm",
        dataset=log.EvalDataset(name=path.stem, samples=len(samples)),
        model=f"qwenarm/{'+'.join(names)}",
        config=log.EvalConfig(),
        packages=dict(played[0].run.versions) if played else {},
    )
    metrics = {"accuracy": log.EvalMetric(name="accuracy", value=share)}
    scores = [log.EvalScore(name="success", scorer="success", metrics=metrics)]
    results = log.EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=scores)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = log.EvalLog(status="success", eval=spec, results=results, samples=samples)
    log.write_eval_log(whole, str(path), format="eval")
    return len(samples)


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
    last = [model.ContentImage(image=_data_url(png(frame.rgb))) for frame in episode.last_frames]
    yield model.ChatMessageUser(content=[model.ContentText(text=f"The end: {episode.outcome}."), *last])


def _part(model: Any, part: dict[str, Any], images: Iterator[dict[str, Any]]) -> Any:
    if part["type"] == "image":
        return model.ContentImage(image=_data_url(next(images)["bytes"]))
    return model.ContentText(text=part["text"])


def _data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
