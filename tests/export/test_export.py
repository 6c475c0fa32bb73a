"""Exports are read back by the tools that they are for."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.counterparts import counterpart, other_python

import qwenarm as qa
from qwenarm.cli.main import main
from qwenarm.episode.rollout import execute
from qwenarm.episode.trace import read, to_line
from qwenarm.episode.watchers import Tell
from qwenarm.errors import BadInput
from qwenarm.export import EXPORT_FORMATS
from qwenarm.export.chat import decisions
from qwenarm.export.episodes import episodes, periods, played_again
from qwenarm.export.run import REPLAYED_FORMATS, check_folder
from qwenarm.factory import make_env
from qwenarm.types import Outcome, SkillCall, SkillResult

pytestmark = pytest.mark.render
SIZE = (96, 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of the oracle and two of idle, which fail."""
    folder = tmp_path_factory.mktemp("trace")
    qa.evaluate("oracle", tasks="put", seeds=2, controls="idle", folder=folder)
    return folder


def export(folder: Path, to: str, out: Path, *options: str) -> int:
    words = ("--to", to, "--out", str(out), "--cameras", "front", "--size", *map(str, SIZE))
    return main(["export", str(folder), *words, "--successes-only", *options])


def test_the_exported_actions_lead_the_arm_where_it_went(folder: Path) -> None:
    """Played as a chunk of ``ee_delta``, they move the hand along the recorded way and do the task."""
    episode = read(folder).episodes[0]
    recorded = periods(episode, (), SIZE)
    env = make_env(episode.run.config)
    env.reset(seed=episode.seed)
    actions = [period.action.tolist() for period in recorded]
    assert execute(env.body, SkillCall("action_chunk:EE_DELTA", {"actions": actions}), Tell(env, [])).ok
    assert np.abs(env.body.tcp_pos - recorded[-1].tcp_pos).max() < 5e-3
    assert env.setup.goal is not None and env.setup.goal.success(env.body.state())
    env.close()


def test_a_replay_that_differs_is_not_exported(folder: Path) -> None:
    episode = read(folder).episodes[0]
    turn = replace(episode.turns[0], results=(SkillResult(False, "it slipped"),))
    for wrong in (
        replace(episode, final_hash="0" * 64),
        replace(episode, outcome=Outcome.FAILURE),
        replace(episode, turns=(turn, *episode.turns[1:])),
    ):
        with pytest.raises(BadInput, match="does not go as recorded"):
            periods(wrong, (), SIZE)


def forge(folder: Path, copy: Path, policy: str, **fields: object) -> None:
    """Copies a trace with other fields in the first episode of a policy. Its checksum fits."""
    shutil.copytree(folder, copy)
    lines = (copy / "episodes.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if json.loads(line)["run"]["config"]["policy"] == policy)
    record = {name: each for name, each in json.loads(lines[at]).items() if name not in ("schema", "crc32")}
    lines[at] = to_line({**record, **fields})
    (copy / "episodes.jsonl").write_text("".join(lines), encoding="utf-8")


FORGERIES = [("idle", {"outcome": "success"}), ("oracle", {"outcome": "failure"}), ("oracle", {"progress": 0.5})]


@pytest.mark.parametrize(("policy", "fields"), FORGERIES)
def test_an_outcome_that_the_world_contradicts_is_named(
    folder: Path, tmp_path: Path, policy: str, fields: dict[str, object]
) -> None:
    forge(folder, tmp_path / "copy", policy, **fields)
    problems: list[str] = []
    assert len(list(played_again(episodes(folder, False, problems), problems))) == 4 and not problems
    assert len(list(played_again(episodes(tmp_path / "copy", False, problems), problems))) == 3
    (told,) = problems
    assert told.startswith(f"put 1000000 by {policy}: It cannot be exported (the replay does not go as recorded")


@pytest.mark.parametrize("to", EXPORT_FORMATS)
def test_no_export_takes_a_forged_outcome_unsaid(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    """It is left out and named; exported as recorded, it is told beside it and within that nothing was checked."""
    parquet = counterpart("pyarrow.parquet")
    counterpart({"inspect": "inspect_ai", "rerun": "rerun"}.get(to, "pyarrow"))
    forge(folder, tmp_path / "copy", "idle", outcome="success")
    out = tmp_path / "out"
    assert export(tmp_path / "copy", to, out) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "put 1000000 by idle: It cannot be exported (the replay does not go as recorded: The outcome" in told
    if to in REPLAYED_FORMATS:
        assert export(tmp_path / "copy", to, out, "--as-recorded") == 2
        return
    facts = {
        "chat": lambda: [(r["policy"], r["outcome_checked"]) for r in parquet.read_table(out).to_pylist()],
        "inspect": lambda: [
            (sample.metadata["policy"], sample.metadata["outcome_checked"])
            for path in out.glob("*.eval")
            for sample in counterpart("inspect_ai.log").read_eval_log(str(path)).samples
        ],
    }
    assert set(facts[to]()) == {("oracle", True)}
    assert export(tmp_path / "copy", to, out, "--as-recorded") == 0
    assert "with outcomes as recorded: they were not checked" in " ".join(capsys.readouterr().out.split())
    assert set(facts[to]()) == {("oracle", False), ("idle", False)}


def test_check_names_what_is_damaged(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert check_folder(copy) == []
    lines = (copy / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"put", b"tup", 1)
    (copy / "episodes.jsonl").write_bytes(b"".join(lines))
    picture = next((copy / "frames").iterdir())
    picture.write_bytes(picture.read_bytes()[:100])
    assert main(["export", str(copy), "--check"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "line 2 cannot be read" in told and picture.name in told.replace(" ", "")
    with pytest.raises(BadInput, match="expected a folder"):
        check_folder(tmp_path)


FIRST_CALL = ("turns", 0, "decision", "calls", 0)


@pytest.mark.parametrize(
    ("path", "value", "to"),
    [
        ((*FIRST_CALL, "args", "at", "camera"), "../../elsewhere", "chat"),
        (("turns", 0, "observation", "instruction"), "\ud800", "chat"),
        ((*FIRST_CALL, "args", "at", "camera"), "../../elsewhere", "inspect"),
        (("turns", 0, "seconds", "physics"), 2**62, "inspect"),
        (("run", "config", "model"), "\ud800", "inspect"),
        (("run", "config", "model"), "\ud800", "lerobot"),
        ((*FIRST_CALL, "args", "at", "label"), "\ud800", "rerun"),
    ],
)
def test_an_episode_that_contradicts_itself_is_named_and_the_others_are_exported(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    path: tuple[str | int, ...],
    value: object,
    to: str,
) -> None:
    """Its checksum was made to fit."""
    counterpart({"inspect": "inspect_ai", "rerun": "rerun"}.get(to, "pyarrow"))
    copy, out = Path(shutil.copytree(folder, tmp_path / "copy")), tmp_path / "out"
    first, *others = (copy / "episodes.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    fields = at = {name: each for name, each in json.loads(first).items() if name not in ("schema", "crc32")}
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    (copy / "episodes.jsonl").write_text(to_line(fields) + "".join(others), encoding="utf-8")
    before = {file for file in tmp_path.rglob("*") if out not in file.parents}
    assert main(["export", str(copy), "--to", to, "--out", str(out), "--cameras", "front", "--size", "24", "32"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "put 1000000 by oracle: It cannot be exported (" in told and len(told) < 600
    assert {"inspect": "3 samples", "lerobot": "3 episodes", "rerun": "3 recordings"}.get(to, "decisions") in told
    assert {file for file in tmp_path.rglob("*") if out not in file.parents} == before | {out}
    assert not list(out.rglob("*part*"))


def test_an_episode_with_an_unknown_skill_is_named_and_the_others_are_exported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counterpart("pyarrow")
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    first, *others = (copy / "episodes.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    fields = {name: each for name, each in json.loads(first).items() if name not in ("schema", "crc32")}
    fields["turns"][0]["decision"]["calls"][0]["name"] = "flip"
    (copy / "episodes.jsonl").write_text(to_line(fields) + "".join(others), encoding="utf-8")
    assert export(copy, "lerobot", tmp_path / "out") == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "1 episodes" in told and "put 1000000 by oracle: It cannot be exported (There is no skill 'flip'." in told


def test_a_policy_without_a_model_is_written_as_if_qwen_had_been_asked(folder: Path) -> None:
    rows = list(decisions(read(folder).episodes[0]))
    assert [json.loads(row["completion"][0]["content"][0]["text"].split("\n")[1])["name"] for row in rows] == [
        "pick", "place", "done"
    ]  # fmt: skip
    assert [len(row["prompt"]) for row in rows] == [2, 5, 7]  # the past calls are turns of the conversation


def test_chats_as_trl_reads_them(folder: Path, tmp_path: Path) -> None:
    datasets, trl = counterpart("datasets"), counterpart("trl.data_utils")
    assert export(folder, "chat", tmp_path) == 0
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), split="train")
    assert len(rows) == 6 and set(rows["success"]) == {True} and trl.is_conversational(rows[0])
    row = rows[0]
    assert [picture.size for picture in row["images"]] == [(256, 192)] * 2
    messages = trl.prepare_multimodal_messages(row["prompt"] + row["completion"], images=row["images"])
    shown = [part for message in messages for part in message["content"] if part["type"] == "image"]
    assert [part["image"].size for part in shown] == [(256, 192)] * 2
    assert {tool["function"]["name"] for tool in json.loads(row["tools"])} >= {"pick", "place", "done"}


def test_lerobot_itself_reads_the_dataset(folder: Path, tmp_path: Path) -> None:
    counterpart("pyarrow")
    python = other_python("lerobot")
    assert export(folder, "lerobot", tmp_path, "--depth") == 0
    reader = Path(__file__).with_name("lerobot_reader.py")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run([python, str(reader), str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    first, last = (
        periods(episode, ("front",), SIZE, depth=True)
        for episode in read(folder).episodes
        if episode.policy == "oracle"
    )
    assert (told["episodes"], told["frames"], told["fps"]) == (2, len(first) + len(last), 20)
    assert told["task"] == last[-1].instruction and told["success"]
    assert told["subtasks"] == [first[0].call, last[-1].call] and first[0].call.startswith("pick ")
    assert told["seeds"][1] == told["seed"]
    assert np.allclose(told["first_state"], [*first[0].joints, first[0].gripper_width], atol=1e-6)
    assert np.allclose(told["action"], last[-1].action, atol=1e-6)
    drawn = last[-1].frames["front"].transpose(2, 0, 1)[:, ::16, ::16] / 255
    assert np.abs(np.array(told["picture"]) - drawn).mean() < 0.03, "the right frame, but for the film's losses"
    view = last[-1].geometry["front"]
    assert np.abs(np.array(told["depth"]) - 1000 * view.depth).max() <= 0.51, "in mm"
    assert np.allclose(told["intrinsics"], view.intrinsics) and np.allclose(told["extrinsics"], view.extrinsics)
    assert {"min", "max", "mean", "std", "count", "q01", "q99"} <= set(told["stats"]["action"])
    assert {"mean", "std"} <= set(told["stats"]["observation.images.front"])


def test_a_dataset_that_was_interrupted_is_continued(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counterpart("pyarrow")
    from qwenarm.export import lerobot

    with monkeypatch.context() as patched:
        patched.setattr(lerobot.LeRobotDataset, "finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert export(folder, "lerobot", tmp_path) == 130
    assert not (tmp_path / "meta/info.json").exists()
    with pytest.raises(BadInput, match="no finished LeRobot dataset"):
        check_folder(tmp_path)
    second = tmp_path / "data/chunk-000/file-001.parquet"
    (tmp_path / "meta/episodes/chunk-000/file-001.parquet").unlink()  # as if killed before its row
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "data").rglob("*.parquet"))]
    assert export(folder, "lerobot", tmp_path) == 0
    after = [path.stat().st_mtime_ns for path in sorted((tmp_path / "data").rglob("*.parquet"))]
    assert after[0] == before[0] and after[1] > before[1] and check_folder(tmp_path) == []
    second.write_bytes(second.read_bytes()[:200])
    assert [problem.split(":")[0] for problem in check_folder(tmp_path)] == ["episode 1"]
    assert main(["export", str(folder), "--to", "lerobot", "--out", str(tmp_path), "--cameras", "wrist"]) == 2
    assert export(folder, "lerobot", tmp_path, "--depth") == 2


def test_a_dataset_holds_what_was_asked_for_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    """Of the same arm, in the same order, whatever the folder held before."""
    counterpart("pyarrow")
    copy, out = Path(shutil.copytree(folder, tmp_path / "copy")), tmp_path / "out"
    whole = ("--to", "lerobot", "--out", str(out), "--cameras", "front", "--size", *map(str, SIZE))
    assert main(["export", str(copy), *whole]) == 0
    assert export(copy, "lerobot", out) == 2, "without the failures, into a folder that holds them"
    qa.evaluate("oracle", tasks="put", seeds=1, perturbations="arm:2", folder=copy)
    assert main(["export", str(copy), *whole]) == 1, "an arm with six joints"
    assert check_folder(out) == [] and json.loads((out / "meta/info.json").read_text())["total_episodes"] == 4
    (out / "meta/info.json").write_text('{"features": {}, "total_episodes": "many"}')
    with pytest.raises(BadInput, match="no finished LeRobot dataset"):
        check_folder(out)
    (out / "meta/episodes/chunk-000/file-001.parquet").write_bytes(b"PAR1")
    assert main(["export", str(copy), *whole]) == 2


@pytest.mark.parametrize("to", EXPORT_FORMATS)
def test_nothing_to_export_is_told_with_the_reasons(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    counterpart({"inspect": "inspect_ai", "rerun": "rerun"}.get(to, "pyarrow"))
    (tmp_path / "frames").mkdir()
    shutil.copy(folder / "episodes.jsonl", tmp_path)  # without its pictures
    out = tmp_path / "out"
    assert main(["export", str(tmp_path), "--to", to, "--out", str(out)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "no episode to export" in told and "put 1000000 by oracle" in told
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_rerun_reads_its_recording(folder: Path, tmp_path: Path) -> None:
    counterpart("rerun")
    assert export(folder, "rerun", tmp_path, "--depth") == 0
    reader = counterpart("rerun.chunk").RrdReader(sorted(tmp_path.glob("*.rrd"))[0])
    rows: dict[str, int] = {}
    for chunk in reader.stream():
        rows[chunk.entity_path] = rows.get(chunk.entity_path, 0) + chunk.num_rows
    count = len(periods(read(folder).episodes[0], (), SIZE))
    assert {rows[f"/{each}"] for each in ("arm/joints", "arm/action", "arm/tcp")} == {count}
    assert rows["/cameras/front"] == rows["/depth/front"] == 2 * count, "the pictures, and where the camera stands"
    assert rows["/calls"] == 2 and rows["/instruction"] == rows["/outcome"] == 1


def test_inspect_reads_its_log(folder: Path, tmp_path: Path) -> None:
    log = counterpart("inspect_ai.log")
    assert main(["export", str(folder), "--to", "inspect", "--out", str(tmp_path)]) == 0
    whole = log.read_eval_log(str(next(tmp_path.glob("*.eval"))), resolve_attachments=True)
    assert whole.status == "success" and whole.results.scores[0].metrics["accuracy"].value == 0.5
    assert sorted(sample.scores["success"].value for sample in whole.samples) == ["C", "C", "I", "I"]
    seconds = sum(sum(turn.seconds.values()) for episode in read(folder).episodes for turn in episode.turns)
    assert sum(sample.total_time for sample in whole.samples) == pytest.approx(seconds)
    parts = [part for message in whole.samples[0].messages for part in message.content if not isinstance(part, str)]
    assert any(part.type == "image" and part.image.startswith("data:image/png") for part in parts)
