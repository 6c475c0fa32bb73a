"""The numbers: pairs are pairs of scenes, nothing is counted twice, and every contrast agrees with counting by hand."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenarm.errors import BadInput, UnknownName
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.stats import barnard, clustered, difference, mcnemar, paired_difference, reconciled, wilson
from qwenarm.report.entrants import Entrant, choose, controls_of, entrants
from qwenarm.report.records import Record, Run
from qwenarm.report.scores import (
    ANY_PERTURBATION,
    cell_scores,
    change_scores,
    comparison,
    leaderboard,
    paired,
    pooled_rate,
    rate,
    unpaired,
)

ASKED = ("model", "altitude", "cameras")
OUTCOMES = st.dictionaries(st.integers(0, 30), st.booleans(), max_size=20)
SOME = st.dictionaries(st.integers(0, 30), st.booleans(), min_size=1, max_size=8)


def record(seed: int, success: bool, role: str = "vlm", **where: object) -> Record:
    key = Key("made-v1", "put", 1, seed, "panda", "all", "", "paused", "hash")
    key = replace(key, **{name: value for name, value in where.items() if name not in ASKED})
    more = {name: str(where.get(name, "")) for name in ASKED}
    outcome, progress = ("success", 1.0) if success else ("failure", 0.0)
    return Record(key, role, **more, instruction="", outcome=outcome, progress=progress, curve=(progress,),
                  metrics={}, cause=None, line=0, offset=0)  # fmt: skip


def run(*records: Record, name: str = "run") -> Run:
    return Run(folder=None, name=name, manifest={}, records=records)  # type: ignore[arg-type]


def scenes(outcomes: dict[int, bool], **where: object) -> dict:
    return {each.scene: each for each in (record(seed, won, **where) for seed, won in outcomes.items())}


@given(OUTCOMES, OUTCOMES)
def test_pairs_are_the_scenes_that_both_played(a, b):
    found = paired(scenes(a), scenes(b))
    shared = [(a[seed], b[seed]) for seed in a.keys() & b.keys()]
    counts = [shared.count(which) for which in ((True, True), (True, False), (False, True), (False, False))]
    assert found.n == found.a.n == found.b.n == len(shared)
    assert (found.only_a, found.only_b) == (counts[1], counts[2])
    difference, low, high = paired_difference(*counts)
    expected = (difference, *reconciled(low, high, mcnemar(counts[1], counts[2])))
    assert (found.difference, found.low, found.high, found.p) == pytest.approx(expected)
    other = paired(scenes(b), scenes(a))
    assert (other.p, other.difference, other.low) == pytest.approx((found.p, -found.difference, -found.high))


@settings(max_examples=15)
@given(SOME, SOME)
def test_without_common_scenes_rates_are_independent(a, b):
    one, other = run(*scenes(a).values()), run(*scenes(b, combos="seen").values(), name="other")
    first, second = entrants([one, other])
    (found,) = [row.contrast for row in comparison(first, second) if row.what == "all, unchanged"]
    counts = (sum(a.values()), len(a), sum(b.values()), len(b))
    value, low, high = difference(*counts)
    expected = (value, *reconciled(low, high, barnard(*counts)))
    assert not found.paired and (found.difference, found.low, found.high, found.p) == pytest.approx(expected)
    assert unpaired(first.records, second.records) == found


@given(st.dictionaries(st.integers(0, 20), st.booleans(), min_size=1), st.integers(1, 4))
def test_a_layout_under_many_changes_counts_once(outcomes, copies):
    """Copies of the same layout make an interval no narrower: it is that of the layouts alone."""
    perturbations = [f"look:{k}" for k in range(copies)]
    records = [record(seed, won, perturbations=change) for seed, won in outcomes.items() for change in perturbations]
    found = pooled_rate(records)
    assert (found.k, found.n) == (copies * sum(outcomes.values()), copies * len(outcomes))
    assert (found.low, found.high) == pytest.approx(clustered([[float(won)] for won in outcomes.values()]))


@given(OUTCOMES)
def test_rates_have_the_wilson_interval(outcomes):
    found = rate(scenes(outcomes).values())
    assert (found.low, found.high) == wilson(found.k, found.n) and 0 <= found.low <= found.value <= found.high <= 1


def one(*records: Record) -> Entrant:
    (found,) = entrants([run(*records)])
    return found


def test_a_change_stands_beside_the_same_seeds_without_it():
    unchanged = [record(seed, seed % 2 == 0) for seed in range(10)]
    changed = [record(seed, seed == 0, perturbations="look:2") for seed in range(4)]
    other_task = [record(seed, True, task="stack") for seed in range(4)]
    entrant = one(*unchanged, *changed, *other_task)
    (score,) = [score for score in cell_scores(entrant) if score.cell.perturbations]
    assert score.change and (score.change.n, score.change.b.k, score.change.a.k) == (4, 2, 1)
    ((name, total, contrast),) = change_scores(entrant)
    assert name == "look:2" and total.n == 4 and contrast == score.change


def test_all_changes_together_come_last():
    records = [record(seed, True, perturbations=change) for seed in range(3) for change in ("", "look:2", "light:1")]
    names = [name for name, _, _ in change_scores(one(*records))]
    assert names == ["light:1", "look:2", ANY_PERTURBATION]


def test_names_say_no_more_than_what_tells_apart():
    alone = entrants([run(record(1, True, model="qwen"), record(1, True, role="oracle", policy="o"))])
    assert [entrant.name for entrant in alone] == ["qwen", "oracle"]
    several = [
        run(record(1, True, model="a", altitude="step", policy="p"), record(1, True, model="a", altitude="plan")),
        run(record(1, True, model="b", altitude="step"), name="second"),
        run(record(1, True, model="b", altitude="step"), name="third"),
    ]
    names = [entrant.name for entrant in entrants(several)]
    assert names == ["a · step", "a · plan", "b · second", "b · third"]
    twice = entrants(
        [run(record(1, True, model="a", policy="abcdefgh"), record(1, True, model="a", policy="12345678"))]
    )
    assert [entrant.name for entrant in twice] == ["a · abcdef", "a · 123456"]


def test_controls_belong_to_their_arm_and_clock_and_the_model_s_own_to_the_model():
    records = [record(1, True, model=model) for model in ("a", "b")]
    records += [record(1, True, role="blind", model=model, policy=f"blind {model}") for model in ("a", "b")]
    records += [record(1, True, role="oracle", policy="o", clock=clock) for clock in ("paused", "latency:1")]
    everybody = entrants([run(*records)])
    for model in everybody[:2]:
        found = controls_of(model, everybody)
        assert list(found) == ["oracle", "blind"]
        assert found["blind"].model == model.model and found["oracle"].clock == "paused"


def test_the_leaderboard_is_of_models_best_first_with_paired_controls():
    records = [record(seed, seed < 3, model="a") for seed in range(9)]
    records += [record(seed, seed < 6, model="b") for seed in range(9)]
    records += [record(seed, True, role="oracle", policy="o") for seed in range(5)]
    rows = leaderboard(entrants([run(*records)]))
    assert [(row.entrant.model, row.score.k, row.controls["oracle"].n) for row in rows] == [("b", 6, 5), ("a", 3, 5)]


def test_one_entrant_is_chosen_by_its_words_or_the_names_are_told():
    everybody = entrants([run(record(1, True, model="a"), record(1, True, role="oracle", policy="o"))])
    assert choose(everybody).name == "a" and choose(everybody, "oracle").role == "oracle"
    assert choose(everybody, "paused, panda").name == "a"  # all fit, one is a model
    with pytest.raises(UnknownName, match="oracle"):
        choose(everybody, "wizard")
    with pytest.raises(BadInput, match=r"Several policies could be meant \(a.*b\): name one"):
        choose(entrants([run(record(1, True, model="a"), record(1, True, model="b"))]))
    with pytest.raises(BadInput, match="The same policy stands on both sides"):
        choose([])
