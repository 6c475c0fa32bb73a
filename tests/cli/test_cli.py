"""The command line teaches, is quick where nothing is simulated, and meets wrong input with one sentence and code 2."""

import io
import json
import re
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from qwenarm import __version__
from qwenarm.cli.main import main
from qwenarm.cli.tables import listing
from qwenarm.display.film import FILM_SIZES_PX
from qwenarm.episode import trace
from qwenarm.errors import BadInput
from qwenarm.policies import PolicyEntry
from qwenarm.policies.function import FunctionPolicy
from qwenarm.registry import ENTRY_KINDS, list_names

FAST = ["--policy", "oracle", "--no-film"]


def cli(capsys, *args: str) -> tuple[int, str, str]:
    try:
        code = main(list(args))
    except SystemExit as end:  # tyro's own way out: help (0) and unknown options (2)
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


COMMANDS = (
    "run", "demo", "list", "show", "prompt", "replay", "eval", "report", "compare", "attribute", "probe", "arm",
    "collect", "data", "train", "improve", "export", "serve",
)  # fmt: skip
NESTED = ("train sft", "train rl", "serve mcp", "serve policy")


@pytest.mark.parametrize("command", [*COMMANDS, *NESTED])
def test_help_has_an_example_fits_the_terminal_and_says_no_empty_default(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "72")
    code, out, _ = cli(capsys, *command.split(), "--help")
    told = " ".join(out.replace("│", " ").split())
    assert code == 0 and f"Example: qwenarm {command}" in told
    assert not re.search(r"\(default: ?(None|''|\(\))?\)|\{None\}", told)
    assert not re.search(r"\bSTR\b|\[\[", told), "an option says what it takes"
    assert max(map(len, out.splitlines())) <= 72


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("eval --seed 3", "qwenarm eval has no option --seed; did you mean --seeds?"),
        ("run put the cube in the bowl --sede=3", "qwenarm run has no option --sede; did you mean --seed?"),
        ("train sft --stpes 3", "qwenarm train sft has no option --stpes; did you mean --steps?"),
        ("run --no-flim", "qwenarm run has no option --no-flim; did you mean --no-film?"),
        ("data check --wibble", "qwenarm data has no option --wibble; it has -h, --help."),
        ("serve --port 3", "qwenarm serve has no option --port; choose a command before: mcp, openenv, policy."),
        ("serve mpc", "qwenarm serve has no command mpc; did you mean mcp?"),
        ("evl --seeds 3", "qwenarm has no command evl; did you mean eval?"),
        ("run a cube \u2014seed 3", "\u2014seed begins with a long dash; options begin with two short ones: --seed."),
    ],
)
def test_what_does_not_exist_is_told_in_one_sentence_with_the_nearest_of_this_command(capsys, words, told):
    assert cli(capsys, *words.split()) == (2, "", f"error: {told}\n")


@pytest.mark.parametrize("command", [*COMMANDS, *NESTED])
def test_every_command_names_its_own_options_only(capsys, command):
    _, known, _ = cli(capsys, *command.split(), "--help")
    code, out, err = cli(capsys, *command.split(), "--q")
    named = re.findall(r"--[a-z][\w-]*", err.partition(";")[2])
    assert (code, out) == (2, "") and f"qwenarm {command} has no option --q;" in err and len(err.splitlines()) == 1
    assert all(f"{name} " in known or f"{name}," in known for name in named)


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_the_overview_names_every_command_with_what_it_does(capsys, words):
    code, out, _ = cli(capsys, *words)
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line[2] != " "]
    assert code == 0 and sorted(listed) == sorted(COMMANDS)


def test_help_and_version_are_commands_too(capsys):
    assert cli(capsys, "help", "train", "sft") == cli(capsys, "train", "sft", "--help")
    assert cli(capsys, "--version") == cli(capsys, "version") == (0, f"qwenarm {__version__}\n", "")


def test_a_task_in_place_of_words_is_told_where_it_belongs(capsys):
    code, _, err = cli(capsys, "run", "stack")
    assert code == 2 and "--task stack" in err


def test_other_mistakes_are_told_by_the_parser(capsys):
    code, _, err = cli(capsys, "eval", "--seeds", "many")
    assert code == 2 and "--seeds" in err and "many" in err


@pytest.mark.parametrize("words", [["list"], ["eval", "--help"]], ids=" ".join)
def test_a_reader_who_has_read_enough_ends_a_command_quietly(words):
    command = [sys.executable, "-m", "qwenarm", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 1


LIGHT = """
import sys
from qwenarm import __version__
from qwenarm.cli.main import main
for words in ("--help", "list tasks", "list skills", "list models", "run --help"):
    try: main(words.split())
    except SystemExit: pass
    print(words, sorted({"torch", "mujoco", "transformers", "scipy"} & set(sys.modules)), file=sys.stderr)
"""


def test_help_and_lists_load_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    told = done.stderr.strip().splitlines()
    assert len(told) == 5 and all(line.endswith("[]") for line in told), told
    assert done.stdout


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("tasks", ["put", "stack", "sort"]),
        ("arms", ["panda", "ur5e"]),
        ("skills", ["pick", "place", "done"]),
        ("policies", ["vlm", "oracle", "random", "idle"]),
        ("cameras", ["front", "wrist"]),
        ("models", ["bundled"]),
        ("perturbations", ["light", "look"]),
    ],
)
def test_lists_name_everything_with_a_sentence(capsys, what, names):
    code, out, _ = cli(capsys, "list", what)
    first = {line.split()[0]: line for line in out.splitlines() if line and not line.startswith(" ")}
    assert code == 0 and set(names) <= set(first)
    assert all(len(line.split()) > 2 for line in first.values())
    assert "`" not in out and ".py" not in out, "descriptions are for people who read no source"


def test_a_list_of_nothing_in_particular_names_everything(capsys):
    code, out, _ = cli(capsys, "list")
    assert code == 0 and all(name in out for kind in ENTRY_KINDS for name in list_names(kind) if kind != "models")
    assert all(line in out for line in ("bundled", "`qwenarm list tasks`"))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", "--task", "putt"], "Did you mean 'put'? Valid: "),
        (["run", "--arm", "pandas"], "panda"),
        (["run", "--policy", "wizard"], "oracle"),
        (["run", "--policy", "vlm", "--altitude", "low"], "plan"),
        (["run", "--level", "99", *FAST], "level"),
        (["run", "put the purple elephant in the blue bowl", *FAST], "cube"),
        (["run", "--cameras", "front,overhaed"], "Did you mean 'overhead'?"),
        (["run", "--model", "/nowhere/at/all"], "/nowhere/at/all"),
        (["run", "--model", "bundeld"], "Did you mean 'bundled'? Valid: bundled, ORG/NAME"),
        (["run", "--model", "Qwen3-VL-4B-Instruct"], "Did you mean 'Qwen/Qwen3-VL-4B-Instruct'?"),
        (["probe", "--model", "bundeld"], "Did you mean 'bundled'?"),
        (["demo", "--model="], "at least one model"),
        (["replay", "/nowhere"], "episodes.jsonl"),
        (["eval", "--task", "put,fly"], "fly"),
        (["eval", "--task", ","], "empty"),
        (["eval", "--seeds", "0"], "at least 1"),
        (["eval", "--policy", "oracle", "--batch", "0"], "--batch must be at least 1"),
        (["eval", "--policy", "oracle", "--workers", "0"], "must be at least 1"),
        (["probe", "--batch", "0"], "must be at least 1"),
        (["run", "put the red cube in the blue bowl", "--task", "stack", *FAST], "leave out either them or --task"),
        (["show", "nothing"], "stack"),
        (["show", "put", "--perturbations", "lihgt:1"], "Did you mean 'light'?"),
        (["show", "put", "--perturbations", "light"], "NAME:STRENGTH"),
    ],
)
def test_wrong_input_is_one_sentence_and_code_2(capsys, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = cli(capsys, *args)
    assert code == 2 and words in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing is left behind"


def test_unknown_options_are_code_2(capsys):
    assert cli(capsys, "run", "--sped", "3")[0] == 2
    assert cli(capsys, "list", "unicorns")[0] == 2


def test_run_writes_trace_and_page_and_replay_confirms_it(capsys, tmp_path):
    folder = tmp_path / "run"
    code, out, _ = cli(capsys, "run", "--seed", "3", "--out", str(folder), *FAST)
    assert code == 0 and "success" in out and str(folder / "page.html") in out.replace("\n", "")
    (episode,) = trace.read(folder).episodes
    assert episode.seed == 3 and episode.turns and "data:image/png" in (folder / "page.html").read_text()
    code, out, _ = cli(capsys, "replay", str(folder))
    assert code == 0 and "bit for bit" in out
    page, film = (folder / "page.html").read_bytes(), sorted(path.name for path in folder.iterdir())
    code, _, err = cli(capsys, "run", "--seed", "4", "--out", str(folder), *FAST)
    assert code == 2 and "There is a run in" in err
    assert (folder / "page.html").read_bytes() == page and sorted(path.name for path in folder.iterdir()) == film
    code, _, err = cli(capsys, "replay", str(folder), "--index", "5")
    assert code == 2 and "it holds 1" in err


CALL = '<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'


def script(path, *calls: tuple[str, str]) -> str:
    """A model that makes these calls and then has nothing more to say."""
    path.write_text("".join(json.dumps({"text": CALL % call}) + "\n" for call in calls), encoding="utf-8")
    return f"scripted:{path}"


@pytest.mark.parametrize("film", ["--film", "--no-film"])
def test_a_run_whose_model_fails_on_the_way_keeps_what_was_played(capsys, tmp_path, monkeypatch, film):
    monkeypatch.setitem(FILM_SIZES_PX, "720p", (90, 160))
    model, folder = script(tmp_path / "s.jsonl", ("look", "{}"), ("look", "{}")), tmp_path / "run"
    code, out, err = cli(capsys, "run", "--model", model, "--out", str(folder), film)
    assert code == 2 and "has 2 replies" in err and "Traceback" not in out + err and "page" in out
    (episode,) = trace.read(folder).episodes
    assert episode.outcome == "crashed" and "has 2 replies" in episode.detail and len(episode.turns) == 3
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "has 2 replies" in page and ("<video" in page) == (film == "--film") == (folder / "film.mp4").exists()
    code, out, _ = cli(capsys, "replay", str(folder))
    assert code == 0 and "bit for bit" in out


def test_an_evaluation_whose_model_fails_stores_nothing_of_the_episode_under_way(capsys, tmp_path):
    model = script(tmp_path / "s.jsonl", ("look", "{}"), ("done", "{}"), ("look", "{}"))
    args = ["--task", "put", "--seeds", "2", "--model", model, "--batch", "1"]
    code, _, err = cli(capsys, "eval", *args, "--out", str(tmp_path / "e"))
    assert code == 2 and "has 3 replies" in err
    assert [episode.outcome for episode in trace.read(tmp_path / "e").episodes] == ["failure"]


def test_ctrl_c_in_a_run_keeps_what_was_played(capsys, tmp_path, monkeypatch):
    def halting(obs, history):
        if len(history) == 2:
            raise KeyboardInterrupt
        return "look"

    monkeypatch.setattr("qwenarm.policies.idle.POLICY", PolicyEntry(lambda context: FunctionPolicy("idle", halting)))
    code, out, err = cli(capsys, "run", "--policy", "idle", "--no-film", "--out", str(tmp_path))
    assert code == 130 and "kept" in err and "goes on" not in err and "page" in out
    (episode,) = trace.read(tmp_path).episodes
    assert episode.outcome == "stopped" and "Ctrl-C" in episode.detail and len(episode.turns) == 2
    assert "stopped  after 2 turns" in out and "crashed" not in out
    assert cli(capsys, "replay", str(tmp_path))[0] == 0
    assert "Ctrl-C" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("say", r'{"text": "hi \ud83d"}'),
        ("pick", r'{"at": {"label": "bad \ud83d", "point_2d": [5, 5]}}'),
    ],
)
def test_half_a_character_from_a_model_breaks_nothing(capsys, tmp_path, name, arguments):
    model = script(tmp_path / "s.jsonl", (name, arguments), ("done", "{}"))
    code, out, err = cli(capsys, "run", "--model", model, "--no-film", "--out", str(tmp_path / "run"))
    assert code == 0 and "\ufffd" in out and not err
    assert "\ufffd" in (tmp_path / "run" / "page.html").read_text(encoding="utf-8")
    args = ["--task", "put", "--seeds", "1", "--model", model, "--out", str(tmp_path / "eval")]
    assert cli(capsys, "eval", *args)[0] == 0
    assert cli(capsys, "report", str(tmp_path / "eval"))[0] == 0


@pytest.mark.parametrize("args", [["run", "--model", "/no/[/x]"], ["run", "--task", "[/x]"], ["replay", "[bold]:cat:"]])
def test_brackets_and_colons_in_an_error_are_printed_as_they_are(capsys, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    code, _, err = cli(capsys, *args)
    assert code == 2 and args[-1] in err


def test_an_extra_is_named_with_its_brackets(capsys, monkeypatch):
    def missing(*args):
        raise BadInput("Install it: pip install 'qwenarm[constrained]'.")

    monkeypatch.setattr("qwenarm.cli.tables.listing", missing)
    assert "pip install 'qwenarm[constrained]'." in cli(capsys, "list", "tasks")[2]


def test_a_folder_with_brackets_is_named_as_it_is(capsys, tmp_path):
    folder = tmp_path / "my[test]:cat:"
    _, out, _ = cli(capsys, "run", "--policy", "idle", "--no-film", "--out", str(folder))
    assert str(folder / "page.html") in out.replace("\n", "")
    _, out, _ = cli(capsys, "show", "put", "--out", str(folder / "sheet[1].png"))
    assert f"sheet  {folder / 'sheet[1].png'}" in out.splitlines(), "a path is never wrapped"


def test_free_words_are_played_and_judged_or_left_unjudged(capsys, tmp_path):
    code, out, _ = cli(capsys, "run", "put the red cube in the blue bowl", "--out", str(tmp_path / "a"), *FAST)
    assert code == 0 and "success" in out
    idle = ["--policy", "idle", "--no-film", "--out", str(tmp_path / "b")]
    code, _, err = cli(capsys, "run", "make the red cube feel at home", *idle)
    assert code == 2 and "'feel' is not understood" in err and "put the red cube in the blue bowl" in err
    assert not (tmp_path / "b").exists()
    code, out, _ = cli(capsys, "run", "make the red cube feel at home", "--anyway", *idle)
    assert code == 0 and "unjudged" in out


def test_free_words_need_no_quotes_and_what_was_read_is_shown_before_the_arm_moves(capsys, tmp_path):
    words = ["PUT", "teh", "red", "cube", "in", "the", "blue", "bowl"]
    code, out, _ = cli(capsys, "run", *words, "--policy", "oracle", "--no-film", "--out", str(tmp_path))
    shown = " ".join(out.split())
    assert code == 0 and "put the red cube in the blue bowl" in shown
    assert "read as: red cube in blue bowl ('teh' taken for 'the'); judged when" in shown
    assert shown.index("read as") < shown.index("pick red cube")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "read as: red cube in blue bowl" in page


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("what", ["tasks", "models", "perturbations"])
def test_lists_can_be_read_at_any_width(what, width):
    text = io.StringIO()
    Console(file=text, width=width).print(listing(what, width))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    assert len(lines) < 12 * len(list_names(what)) + 80, "no column of one word a line"


def test_eval_goes_on_where_it_stopped(capsys, tmp_path):
    args = ["eval", "--task", "put", "--policy", "idle", "--out", str(tmp_path)]
    assert cli(capsys, *args, "--seeds", "1")[0] == 0
    first = (tmp_path / trace.EPISODES_FILE).read_bytes()
    code, out, _ = cli(capsys, *args, "--seeds", "2")
    assert code == 0 and "0.0%" in out and "2 out of turns" in " ".join(out.split())
    assert (tmp_path / trace.EPISODES_FILE).read_bytes().startswith(first)
    assert len(trace.read(tmp_path).episodes) == 2


def test_show_draws_every_camera(capsys, tmp_path):
    code, out, _ = cli(capsys, "show", "put", "--out", str(tmp_path / "a" / "sheet.png"))
    assert code == 0 and (tmp_path / "a" / "sheet.png").stat().st_size > 20_000 and "sheet  " in out


def test_ctrl_c_keeps_what_is_done(tmp_path):
    command = [sys.executable, "-m", "qwenarm", "eval", "--task", "put", "--policy", "idle", "--seeds", "999"]
    # A shell's background job ignores Ctrl-C, and so would its children: this one shall hear it.
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        until = time.monotonic() + 60
        while not (
            (tmp_path / trace.EPISODES_FILE).exists() and (tmp_path / trace.EPISODES_FILE).read_bytes().count(b"\n") > 1
        ):
            assert time.monotonic() < until and running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130 and b"kept" in err and b"goes on" in err and b"Traceback" not in err
    assert b"95 % interval" in out
    reading = trace.read(tmp_path)
    assert len(reading.episodes) > 1 and reading.problems == ()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--seed", "-1", "--policy", "oracle"], "A seed is 0 or more"),
        (["show", "put", "--seed", "-1"], "A seed is 0 or more"),
        (["run", "hello", "--policy", "oracle"], "The oracle needs a goal"),
        (["run", "hello"], "Nobody can judge this, and nothing was moved"),
        (["run", ""], "The instruction is empty"),
        (["run", "  ", "--policy", "oracle"], "The instruction is empty"),
        (["run", "put the red cube on the red cube"], "cannot be on red cube"),
        (["show", "put", "--out", "sheet.foo"], "Cannot write"),
    ],
)
def test_what_cannot_be_played_is_one_sentence(capsys, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
