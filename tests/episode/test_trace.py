"""Laws of the trace: round trips, survival of half-written lines, full disks and unreadable folders."""

import json
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qwenarm.episode import trace
from qwenarm.episode.episode_json import SCHEMA_VERSION
from qwenarm.errors import BadInput
from qwenarm.types import (
    Completion,
    Decision,
    Episode,
    FormatError,
    Frame,
    ImagePoint,
    Observation,
    Outcome,
    Prompt,
    Proprio,
    RunConfig,
    RunInfo,
    SideEffect,
    SkillCall,
    SkillResult,
    Turn,
)

words = st.text(st.characters(codec="utf-8"), max_size=12) | st.just("a line\nand\u2028another \ud800")
number = st.floats(allow_nan=False, allow_infinity=False)
fraction = st.floats(0, 1)
pictures = arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(3)))
points = st.builds(ImagePoint, fraction, fraction, words, st.sampled_from(["front", "wrist"]))
vector = arrays(float, st.integers(0, 7), elements=number)
proprios = st.builds(Proprio, vector, vector, vector, number, st.booleans())
frames = st.lists(st.builds(Frame, pictures, words), max_size=2).map(tuple)
observations = st.builds(Observation, frames, proprios, words, number)
calls = st.builds(SkillCall, words, st.dictionaries(words, points | words | number, max_size=2))
decisions = st.builds(
    Decision,
    st.lists(calls, max_size=2).map(tuple),
    words,
    words,
    st.none() | st.sampled_from(FormatError),
    words,
    st.lists(words, max_size=2).map(tuple),
)
prompts = st.builds(
    Prompt,
    st.tuples(st.fixed_dictionaries({"role": words, "content": words})),
    st.lists(pictures, max_size=1).map(tuple),
    st.tuples(st.fixed_dictionaries({"name": words})),
    st.integers(1, 999),
)
turns = st.builds(
    Turn,
    st.integers(0, 9),
    observations,
    decisions,
    st.lists(st.builds(SkillResult, st.booleans(), words), max_size=2).map(tuple),
    st.lists(st.builds(Completion, words, number, st.integers(0, 9), st.integers(0, 9), words), max_size=2).map(tuple),
    st.lists(prompts, max_size=2).map(tuple),
    st.dictionaries(words, number, max_size=2),
    number,
    st.dictionaries(words, st.integers(0, 9), max_size=2),
    fraction,
)
numbers = st.dictionaries(words, number, max_size=2)
configs = st.builds(
    RunConfig,
    task=words,
    level=st.integers(1, 5),
    words=words,
    perturbations=st.lists(st.tuples(words, st.integers(1, 3)), max_size=2).map(tuple),
)
runs = st.builds(
    RunInfo,
    config=configs,
    seed=st.integers(0, 2**40),
    suite=words,
    policy=st.dictionaries(words, words | number | st.none() | st.booleans(), max_size=2),
    cameras=st.lists(words, max_size=2).map(tuple),
    renderer=words,
    versions=st.dictionaries(words, words, max_size=2),
    metrics=numbers,
    task_metrics=numbers,
    seconds=numbers,
    watcher_failures=st.lists(words, max_size=2).map(tuple),
)
episodes = st.builds(
    Episode,
    runs,
    words,
    st.lists(turns, max_size=2).map(tuple),
    st.sampled_from(Outcome),
    fraction,
    words,
    words,
    frames,
    st.lists(st.builds(SideEffect, words, words, words), max_size=2).map(tuple),
)


def same(a, b) -> bool:
    """Deep equality that also compares arrays, their shapes and dtypes."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def an_episode(seed: int = 0, turns: int = 2) -> Episode:
    rng = np.random.default_rng(seed)
    proprio = Proprio(rng.random(7), rng.random(3), rng.random(4), 0.04, False)
    point = ImagePoint(0.25, 0.75, "red cube")
    turn = Turn(
        0,
        Observation((Frame(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8), "front"),), proprio, "pick it"),
        Decision((SkillCall("pick", {"at": point}),), raw="{}"),
        (SkillResult(True, "ok"),),
    )
    many = tuple(replace(turn, index=i) for i in range(turns))
    return Episode(RunInfo(RunConfig(policy="oracle"), seed), "pick it", many, Outcome.SUCCESS, 1.0, "abc")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(episodes)
def test_an_episode_comes_back_as_it_was(tmp_path_factory, episode):
    folder = tmp_path_factory.mktemp("trace")
    trace.Trace(folder).append(episode)
    reading = trace.read(folder)
    assert reading.problems == ()
    assert same(reading.episodes, (episode,))
    ((_, head),) = trace.scan(folder)
    for part in ("run", "instruction", "outcome", "progress", "final_hash", "detail", "side_effects"):
        assert same(getattr(head, part), getattr(episode, part))
    assert head.curve == tuple(turn.progress for turn in episode.turns)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A folder with three episodes, and their lines."""
    folder = tmp_path_factory.mktemp("three")
    for seed in range(3):
        trace.Trace(folder).append(an_episode(seed))
    return folder, (folder / trace.EPISODES_FILE).read_bytes().splitlines(keepends=True)


@settings(max_examples=200)
@given(st.data())
def test_a_changed_byte_anywhere_in_a_line_is_noticed_and_the_other_lines_count(three, data):
    folder, (first, second, third) = three
    place = data.draw(st.integers(0, len(second) - 2))
    byte = data.draw(st.integers(1, 255).filter(lambda byte: byte not in (10, second[place])))
    damaged = second[:place] + bytes([byte]) + second[place + 1 :]
    (folder / trace.EPISODES_FILE).write_bytes(first + damaged + third)
    problems = []
    assert [head.run.seed for _, head in trace.scan(folder, problems)] == [0, 2]
    reading = trace.read(folder)
    assert [episode.seed for episode in reading.episodes] == [0, 2] and reading.problems == tuple(problems)
    assert len(problems) == 1 and "line 2 " in problems[0]


def test_of_many_damaged_lines_some_are_named_and_all_are_counted(tmp_path):
    trace.Trace(tmp_path).append(an_episode())
    with open(tmp_path / trace.EPISODES_FILE, "a") as file:
        file.write("{}\n" * 20)
    (problem,) = trace.read(tmp_path).problems
    assert "lines 2, 3, 4, 5, 6 and 15 more cannot be read and do not count" in problem


def test_numpy_scalars_become_plain_numbers(tmp_path):
    episode = an_episode()
    run = replace(episode.run, metrics={"n": np.int64(3)})
    trace.Trace(tmp_path).append(replace(episode, progress=np.float32(0.5), run=run))
    (episode,) = trace.read(tmp_path).episodes
    assert episode.progress == 0.5 and episode.run.metrics == {"n": 3}


def test_equal_pictures_are_stored_once_and_can_be_left_out(tmp_path):
    trace.Trace(tmp_path).append(an_episode(turns=5))
    assert len(list((tmp_path / "frames").iterdir())) == 1
    (episode,) = trace.read(tmp_path, images=False).episodes
    assert [turn.observation.frames for turn in episode.turns] == [()] * 5


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_half_written_last_line_is_ignored_and_writing_goes_on(tmp_path, keep):
    writer = trace.Trace(tmp_path)
    writer.append(an_episode(1))
    whole = (tmp_path / trace.EPISODES_FILE).read_bytes()
    writer.append(an_episode(2))
    size = len(whole) + int(keep * ((tmp_path / trace.EPISODES_FILE).stat().st_size - len(whole)))
    with open(tmp_path / trace.EPISODES_FILE, "ab") as file:
        file.truncate(size)
    reading = trace.read(tmp_path)
    assert [e.seed for e in reading.episodes] == [1]
    assert reading.problems == ()
    writer.append(an_episode(3))
    reading = trace.read(tmp_path)
    assert [e.seed for e in reading.episodes] == [1, 3]
    assert len(reading.problems) == 1 and "line 2" in reading.problems[0]


@pytest.mark.parametrize("line", ["[]", "null", "{}", '{"schema": 99}', "nonsense", "\x00\xff"])
def test_no_line_can_break_the_reading(tmp_path, line):
    trace.Trace(tmp_path).append(an_episode(1))
    with open(tmp_path / trace.EPISODES_FILE, "a", encoding="latin-1") as file:
        file.write(line + "\n")
    trace.Trace(tmp_path).append(an_episode(2))
    reading = trace.read(tmp_path)
    assert [e.seed for e in reading.episodes] == [1, 2] and len(reading.problems) == 1


def test_a_missing_picture_is_a_problem_not_a_crash(tmp_path):
    trace.Trace(tmp_path).append(an_episode(1))
    for picture in (tmp_path / "frames").iterdir():
        picture.unlink()
    reading = trace.read(tmp_path)
    assert reading.episodes == () and len(reading.problems) == 1


@pytest.mark.parametrize("limit", [0, 2000])
def test_a_full_disk_is_named_and_spoils_nothing(tmp_path, limit):
    writer = trace.Trace(tmp_path)
    writer.append(an_episode(1))
    size = (tmp_path / trace.EPISODES_FILE).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + limit, hard))
    try:
        with pytest.raises(BadInput, match="not stored"):
            writer.append(an_episode(1, turns=20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / trace.EPISODES_FILE).stat().st_size == size
    writer.append(an_episode(2))
    reading = trace.read(tmp_path)
    assert [e.seed for e in reading.episodes] == [1, 2] and reading.problems == ()
    assert not list(tmp_path.rglob("*.part"))


def test_an_unreadable_place_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match=trace.EPISODES_FILE):
        trace.read(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="choose another folder"):
        trace.Trace(tmp_path / "file")


def test_many_writers_do_not_mix_their_lines(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: trace.Trace(tmp_path).append(an_episode(seed)), range(20)))
    reading = trace.read(tmp_path)
    assert sorted(e.seed for e in reading.episodes) == list(range(20)) and reading.problems == ()


def test_a_line_of_another_schema_is_left_out_in_one_sentence(tmp_path):
    trace.Trace(tmp_path).append(an_episode())
    line = json.loads((tmp_path / trace.EPISODES_FILE).read_text())
    assert line["schema"] == SCHEMA_VERSION
    with open(tmp_path / trace.EPISODES_FILE, "a") as file:
        file.write(json.dumps({**line, "schema": 1}) + "\n" + json.dumps({"schema": 1, "setup": {}}) + "\n")
    reading = trace.read(tmp_path)
    assert len(reading.episodes) == 1 and len(reading.problems) == 1
    assert "lines 2 and 3" in reading.problems[0] and "schema 1 is of another version" in reading.problems[0]
