"""`qwenarm eval`, then `qwenarm report` and `qwenarm compare`, as one types them."""

import io
import re
from functools import partial
from pathlib import Path

import pytest
from tests.report.made import evaluation, suite

from qwenarm.cli import main as cli
from qwenarm.display import film as recorder
from qwenarm.display.terminal import SafeConsole
from qwenarm.report.exports import printed
from qwenarm.report.numbers import compare_runs

SMALL = suite(("put",), 4, ("", "look:2"))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    told = capsys.readouterr()
    return code, " ".join(told.out.split()), " ".join(told.err.split())


@pytest.mark.render
def test_eval_and_report_need_no_arguments_and_films_are_on_the_pages(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recorder, "FilmRecorder", partial(recorder.FilmRecorder, size=(90, 160)))  # drawn in no time
    assert run(capsys, "eval", "--task", "put", "--policy", "idle", "--seeds", "1")[0] == 0
    code, told, _ = run(capsys, "report", "--films", "1")
    site = tmp_path / "runs" / "eval-idle" / "report"
    assert code == 0 and "1 episodes, 1 with a page" in told and (site / "index.html").is_file()
    (film,) = (site / "films").glob("*.mp4")
    (page,) = site.glob("episodes/*/*.html")
    assert film.stat().st_size > 5_000 and f'<video src="../../films/{film.name}"' in page.read_text()
    made = film.stat().st_mtime_ns
    assert run(capsys, "report", "--films", "1")[0] == 0
    assert film.stat().st_mtime_ns == made, "a film that is there is not made again"


def test_compare_prints_pairs_differences_and_exact_tests(capsys, tmp_path):
    a = evaluation(tmp_path / "a", SMALL, roles=("vlm", "oracle"))
    b = evaluation(tmp_path / "b", SMALL, lambda key, role: not key.perturbations, roles=("vlm",), model="other")
    code, told, _ = run(capsys, "compare", a, b)
    assert code == 0 and "A = bundled, B = other" in told
    assert re.search(r"all, unchanged 4 2/4 4/4 0 2 −50", told)
    code, told, _ = run(capsys, "compare", a, a, "--who-b", "oracle")
    assert code == 0 and "A = bundled, B = oracle" in told


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_comparison_can_be_read_at_any_width(tmp_path, width):
    run = evaluation(tmp_path / "a", SMALL, roles=("vlm", "oracle"))
    _, table = compare_runs(run, run, who_b="oracle")
    out = io.StringIO()
    SafeConsole(file=out, width=width).print(printed(table, width))
    words = out.getvalue().split()
    assert all(len(line.rstrip()) <= width for line in out.getvalue().splitlines())
    assert all(word in words for field in table.rows[0] for word in f"{field.text} {field.small}".split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report"], "There is no evaluation in runs/"),
        (["report", "nowhere"], "There is no episodes.jsonl"),
        (["report", "made", "nowhere"], "There is no episodes.jsonl"),
        (["compare", "made", "nowhere"], "There is no episodes.jsonl"),
        (["compare", "made", "made", "--who-b", "wizard"], "Valid: bundled, idle, oracle"),
        (["report", "made", "--out", "made/manifest.json/site"], "Cannot write the report"),
    ],
)
def test_wrong_input_is_one_sentence_and_code_2(capsys, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    evaluation(Path("made"), SMALL)
    code, _, err = run(capsys, *words)
    assert code == 2 and told in err and "Traceback" not in err
    assert not list(tmp_path.rglob("*.html"))


@pytest.mark.slow
def test_ten_thousand_episodes_are_reported_in_seconds(tmp_path):
    from time import process_time

    from qwenarm.report import write_report

    big = suite([f"task{i}" for i in range(12)], 60, ("", *(f"look:{k}" for k in range(1, 8))))
    folder = evaluation(tmp_path / "big", big)
    begun = process_time()
    written = write_report([folder], tmp_path / "site")
    seconds = process_time() - begun
    print(f"{written.episodes} episodes, {written.pages} pages: {seconds:.1f} s of processor time")
    assert written.episodes > 10_000 and seconds < 30
