"""The Python face: each function does what the command line does, and shows itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qwenarm as qa
from qwenarm.api.evaluations import plan_evaluation
from qwenarm.errors import BadInput, ModelUnavailable, QwenarmError, UnknownName
from qwenarm.types import Outcome

HERE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def give_up(observation, history):
    """A policy that only looks once."""
    return qa.SkillCall("give_up", {"reason": "enough"}) if history else qa.SkillCall("look")


def play_another(observation, history):
    """A policy during which another run is started in the same folder, and refused."""
    with pytest.raises(BadInput, match="Another run is writing to one"):
        qa.run(policy="idle", film=False, folder="one")
    return give_up(observation, history)


def fail(observation, history):
    raise ValueError("no idea")


def takes_nothing():
    return "look"


def test_a_run_is_an_episode_that_shows_itself(tmp_path):
    episode = qa.run("put the red cube in the blue bowl", seed=3, policy="oracle", film=False)
    assert isinstance(episode, qa.Episode) and episode.outcome is Outcome.SUCCESS
    assert episode.page.is_file() and episode.page.is_relative_to("runs") and episode.film is None
    shown = episode._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "red cube" in shown and "<script" not in shown


def test_a_film_that_cannot_be_is_told_before_a_folder_is_made():
    for film in (qa.Film(speed=3), qa.Film(size="4k"), qa.Film(camera="fornt"), qa.Film(format="webm")):
        with pytest.raises(QwenarmError):
            qa.run(policy="idle", film=film)
    assert not Path("runs").exists()


def test_two_runs_in_one_second_have_two_folders():
    folders = {qa.run(policy="idle", film=False).folder for _ in range(2)}
    assert len(folders) == 2


def test_two_runs_at_the_same_time_cannot_share_a_folder():
    assert qa.run(policy=play_another, film=False, folder="one").outcome is Outcome.GAVE_UP
    with pytest.raises(BadInput, match="There is a run in one already"):
        qa.run(policy="idle", film=False, folder="one")


def test_a_plain_function_is_a_policy():
    episode = qa.run(policy=give_up, film=False)
    assert [call.name for turn in episode.turns for call in turn.decision.calls] == ["look", "give_up"]
    assert episode.outcome is Outcome.GAVE_UP
    with pytest.raises(BadInput, match="top of a module"):
        qa.run(policy=lambda observation, history: "look", film=False)


def test_an_evaluation_counts_compares_and_reports():
    oracle = qa.evaluate("oracle", tasks=["put"], seeds=2)
    idle = qa.evaluate("idle", tasks="put", seeds=2)
    assert [(score.rate.k, score.rate.n) for score in oracle.scores] == [(2, 2)]
    assert "100.0%" in str(oracle) and "put" in str(oracle)
    assert oracle.report().is_file()
    assert "exact McNemar" in str(oracle.compare(idle))
    again = qa.evaluate("oracle", tasks=["put"], seeds=2)
    assert again.rows == oracle.rows, "what is in the ledger is not played again"


def test_evaluations_that_share_a_ledger_are_compared_as_if_they_did_not():
    apart, together = (
        [qa.evaluate(name, tasks="put", seeds=2, folder=folder.format(name)) for name in ("oracle", "idle")]
        for folder in ("{}", "both")
    )
    qa.evaluate("random", tasks="put", seeds=1, folder="both")
    assert [len(each.rows) for each in together] == [2, 2]
    assert str(together[0].compare(together[1])) == str(apart[0].compare(apart[1]))
    assert str(together[1].compare(together[0])) == str(apart[1].compare(apart[0])) != str(apart[0].compare(apart[1]))
    with pytest.raises(BadInput, match="same policy stands on both sides"):
        together[0].compare(together[0])


def test_rows_become_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = qa.evaluate("oracle", tasks="put", seeds=2).to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame["success"]) == [True, True]


def test_a_loaded_model_plays_several_runs():
    model = qa.load_model("bundled")
    first, second = (qa.run(seed=seed, model=model, film=False) for seed in (0, 1))
    assert first.outcome is Outcome.SUCCESS and second.run.policy["model"] == "bundled"


def test_names_that_do_not_exist_are_told():
    with pytest.raises(UnknownName, match="Did you mean 'put'"):
        qa.run(task="putt", film=False)
    with pytest.raises(UnknownName, match="Did you mean 'oracle'"):
        qa.evaluate("oracel", tasks="put")  # neither a policy nor a model
    with pytest.raises(BadInput, match=r"level of run is int, not '2' \(of difficulty, from 1\)"):
        qa.run(level="2", film=False)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        qa.nothing  # noqa: B018


WRONG_TYPES = [
    (qa.run, "instruction", 42), (qa.run, "task", None), (qa.run, "level", 1.0), (qa.run, "level", True),
    (qa.run, "seed", None), (qa.run, "seed", 2**80), (qa.run, "arm", None), (qa.run, "policy", 42),
    (qa.run, "model", ["bundled"]), (qa.run, "altitude", 1), (qa.run, "perturbations", ["look:2"]),
    (qa.run, "clock", 1.5), (qa.run, "cameras", ("front",)), (qa.run, "control", 3), (qa.run, "film", "film.mp4"),
    (qa.run, "folder", 42), (qa.run, "watchers", [42]), (qa.run, "anyway", "no"),
    (qa.evaluate, "policy_or_model", 42), (qa.evaluate, "tasks", None), (qa.evaluate, "tasks", [42]),
    (qa.evaluate, "tasks", []), (qa.evaluate, "seeds", "2"), (qa.evaluate, "seeds", [0, 1]),
    (qa.evaluate, "level", [1, 2]), (qa.evaluate, "suite", 42), (qa.evaluate, "perturbations", 42),
    (qa.evaluate, "controls", [give_up]), (qa.evaluate, "combos", None), (qa.evaluate, "workers", "2"),
    (qa.evaluate, "batch", None), (qa.evaluate, "folder", b"a"),
    (qa.make_env, "task", 42), (qa.make_env, "level", "1"), (qa.make_env, "cameras", "front"),
    (qa.make_env, "frame_size", 128), (qa.make_env, "combos", "seen"), (qa.make_env, "perturbations", "look:2"),
    (qa.make_env, "max_episode_steps", "5"), (qa.make_env, "words", 42), (qa.make_env, "depth", "yes"),
    (qa.load_model, "model", 42), (qa.load_model, "batch", "8"), (qa.load_model, "temperature", "hot"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "name", "value"), WRONG_TYPES)
def test_a_value_of_another_type_is_named_before_anything_is_written(function, name, value):
    with pytest.raises(BadInput, match=rf"^{name} (of \w+ is .+, not |is empty)"):
        function(**{name: value})
    assert list(Path().iterdir()) == []


def test_what_numpy_and_pathlib_give_is_taken():
    episode = qa.run(policy="idle", level=np.int64(1), seed=np.int64(3), film=False)
    assert type(episode.run.seed) is int, "the record is JSON"
    assert qa.evaluate("idle", tasks={"put"}, seeds=np.int32(1)).scores[0].rate.n == 1
    with pytest.raises(ModelUnavailable, match=r"There is no folder '\./no/such'"):
        qa.run(model=Path("no/such"), film=False)


def test_an_evaluation_that_cannot_begin_leaves_nothing():
    for model in ("./no-such-folder", ""):
        with pytest.raises(ModelUnavailable, match="There is no folder"):
            qa.evaluate(model, tasks="put", seeds=1)
    with pytest.raises(BadInput, match="called as"):
        qa.evaluate(f"{__name__}:takes_nothing", tasks="put", seeds=1)
    assert list(Path().iterdir()) == []


def test_a_policy_that_fails_says_why_in_one_line():
    assert "crashed (ValueError: no idea), turns: 1" in repr(qa.run(policy=fail, film=False))


def test_no_controls_are_none():
    planned, _ = plan_evaluation(qa.RunConfig(), suite="quick", controls=[])
    assert planned.controls == () != plan_evaluation(qa.RunConfig(), suite="quick")[0].controls


def test_tasks_are_listed_and_environments_made():
    assert {"put", "stack", "refuse"} <= qa.tasks().keys() and all(qa.tasks().values())
    env = qa.make_env("put", control="ee_delta", cameras=())
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation) and "is_success" in info
    env.close()


def test_every_public_name_is_there_and_documented():
    assert all(getattr(qa, name).__doc__ or name == "tasks" for name in qa.__all__)


def test_the_face_is_light():
    code = "import sys, qwenarm as qa; qa.RunConfig, qa.run, qa.tasks(); print({'torch', 'mujoco'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE)
    assert done.stdout.strip() == "set()"
