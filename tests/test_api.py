"""The Python face: each function does what the command line does, and shows itself."""

import subprocess
import sys
from pathlib import Path

import pytest

import qwenarm as qa
from qwenarm.errors import BadInput, QwenarmError, UnknownName
from qwenarm.types import Outcome

HERE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def give_up(observation, history):
    """A policy that only looks once."""
    return qa.SkillCall("give_up", {"reason": "enough"}) if history else qa.SkillCall("look")


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
    with pytest.raises(BadInput, match=r"no level '2'"):
        qa.run(level="2", film=False)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        qa.nothing  # noqa: B018


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
