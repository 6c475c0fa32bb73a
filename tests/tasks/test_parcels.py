"""Laws of sorting parcels: the first clause that meets a parcel counts, and all that goes wrong is counted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenarm.body.objects import ObjectSpec, make_spec
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.registry import load
from qwenarm.tasks._parcels import COLOR, SINGLE, Clause, Rule
from qwenarm.tasks.parcels import Routes

BOWL, BOX, TRAY = make_spec("bowl", "white"), make_spec("box", "red"), make_spec("tray", "black")
UPRIGHT = np.array([1.0, 0, 0, 0])


def build(level, seed):
    return load("tasks", "parcels").build(np.random.default_rng(seed), level)


def world(*specs, time_s=0.0):
    objects = {
        spec.id: ObjectState(spec, np.array([0.5, -0.4 + 0.2 * i, spec.origin_height]), UPRIGHT, 0.0)
        for i, spec in enumerate(specs)
    }
    return WorldState(objects, None, np.array([0.3, 0, 0.4]), 0.08, time_s)


def moved(state, what, to):
    """The same world with a thing elsewhere: in a container, or at (3,) m."""
    pos = state[to].pos + [0, 0, 0.006 + state[what].spec.origin_height] if isinstance(to, str) else np.array(to)
    return replace(state, objects={**state.objects, what: replace(state[what], pos=pos)})


def parcel(number, color="red", **marks):
    return ObjectSpec("parcel", color, 0.048, number=number, **marks)


def test_an_exception_overrules_the_rest():
    rule = Rule(
        (Clause(SINGLE["glass"], "glass", TRAY), Clause(COLOR, "red", BOWL), Clause(COLOR, "blue", BOX)), exception=True
    )
    assert rule.place_of(parcel(1, "blue", top="glass")) == TRAY.id
    assert rule.place_of(parcel(2, "blue", sides="crack")) == BOX.id
    assert rule.place_of(parcel(3, "red")) == BOWL.id


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), level=st.integers(1, 3))
def test_every_place_has_its_parcels_and_the_rule_can_be_read_off_them(seed, level):
    setup = build(level, seed)
    homes, specs = dict(setup.goal.homes), {p.spec.id: p.spec for p in setup.scene.objects}
    parcels = [spec for spec in specs.values() if spec.shape == "parcel"]
    places = [spec for spec in specs.values() if spec.container]
    assert set(homes) == {spec.id for spec in parcels} and set(homes.values()) == {spec.id for spec in places}
    assert len(places) == (2 if level == 1 else 3) and len(places) <= len(parcels) <= level + 2
    looks = {}  # what looks the same goes to the same place
    for spec in parcels:
        assert looks.setdefault(replace(spec, number=0), homes[spec.id]) == homes[spec.id]
    for spec in places:
        if spec.top:
            assert any(spec.top in words for words in (setup.instruction, setup.translations["es"]))


def test_what_goes_wrong_is_counted():
    right, wrong, fallen, open_ = (parcel(i) for i in range(1, 5))
    goal = Routes(tuple((spec.id, BOWL.id) for spec in (right, wrong, fallen, open_)))
    start = world(right, wrong, fallen, open_, BOWL, BOX, time_s=30.0)
    assert goal.measures(start) == {"routed": 0, "misrouted": 0, "fallen": 0, "per_minute": 0.0}
    state = moved(moved(start, right.id, BOWL.id), wrong.id, BOX.id)
    state = moved(state, fallen.id, (0.5, 1.0, -0.7))
    assert goal.measures(state) == {"routed": 1, "misrouted": 1, "fallen": 1, "per_minute": 2.0}
    assert 0 < goal.progress(state) < 0.5 and not goal.success(state)


@pytest.mark.parametrize("level", [1, 2])
def test_a_misrouted_parcel_is_brought_to_its_place(level):
    setup = build(level, 3)
    state = world(*(p.spec for p in setup.scene.objects))
    what, home = setup.goal.homes[0]
    other = next(place for _, place in setup.goal.homes if place != home)
    calls = setup.goal.solve(moved(state, what, other))
    picked = [call.args["at"] for call in calls if call.name == "pick"]
    assert what in picked and calls[2 * picked.index(what) + 1].args["at"] == home
