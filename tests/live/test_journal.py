"""Journal, poses between events, and the queue of visitors."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.live.journal import JOURNAL_FILE, Journal, JournalReader, parse_event, read_asset
from qwenarm.live.scene import Track
from qwenarm.live.visitors import AWAY_S, IDLE_S, Visitors


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path) as opened:
        yield opened


def test_what_is_written_is_read_once_and_in_order(journal):
    reader = JournalReader(journal.folder)
    for number in range(5):
        journal.write("looked", 3, turn=number, words="<b>红色</b>")
    found = [event for _, event in reader.new_events()]
    assert [event["turn"] for event in found] == list(range(5)) and found[0]["words"] == "<b>红色</b>"
    assert list(reader.new_events()) == []
    journal.write("finished", 3)
    ((offset, event),) = reader.new_events()
    assert event["kind"] == "finished" and next(JournalReader(journal.folder, offset).new_events())[1] == event


def test_a_long_line_does_not_stop_the_reader(journal, monkeypatch):
    monkeypatch.setattr("qwenarm.live.journal.CHUNK_BYTES", 64)
    reader = JournalReader(journal.folder)
    with (journal.folder / JOURNAL_FILE).open("ab") as file:
        file.write(b'{"half of a line": "' + b"x" * 200)
        file.flush()
        assert list(reader.new_events()) == []
        file.write(b'"}\n')
    journal.write("finished", 3, text="y" * 300)
    journal.write("stored", 3)
    found = [event["kind"] for _ in range(9) for _, event in reader.new_events()]
    assert found == ["finished", "stored"]


def test_of_several_journals_of_a_folder_one_records_and_runs_are_counted_on(tmp_path):
    with Journal(tmp_path) as first, Journal(tmp_path) as second:
        first.write("started", 7)
        assert first.reserve() == 8 and second.reserve() == 0
        first.release()
        assert second.reserve() == 9 and first.reserve() == 0
        second.release()


@given(cut=st.integers(0, 80))
def test_a_line_that_is_still_being_written_waits(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("journal")
    line = json.dumps({"kind": "x", "at": 1.0, "run": 0, "text": "y" * 50}).encode() + b"\n"
    (folder / JOURNAL_FILE).write_bytes(line + line[:cut])
    reader = JournalReader(folder)
    assert len(list(reader.new_events())) == 1
    (folder / JOURNAL_FILE).write_bytes(line + line)
    assert len(list(reader.new_events())) == 1


@given(
    line=st.binary(max_size=60) | st.sampled_from([b"[]", b'{"kind": 1}', b"null", b'{"kind":"x","at":"y","run":0}'])
)
def test_a_damaged_line_is_no_event(line):
    event = parse_event(line)
    assert event is None or {"kind", "at", "run"} <= event.keys()


@pytest.mark.parametrize("name", ["../journal.jsonl", "journal.jsonl", "..%2f..%2fetc", "a" * 24 + ".exe", ""])
def test_only_assets_can_be_read(journal, name):
    kept = journal.keep(b"data", "png")
    assert read_asset(journal.folder, kept) == b"data" and read_asset(journal.folder, name) is None


def pose(x):
    return [x, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]


@given(times=st.lists(st.floats(0, 2), min_size=1, max_size=20))
def test_poses_between_two_events_lie_between_them_and_never_run_ahead(times):
    track = Track(np.array([pose(0.0), pose(5.0)]))
    for step in range(1, 21):
        track.add(0.05 * step, {"0": pose(0.1 * step)})
    for time_s in sorted(times):
        for index, moved in track.move_to(time_s).items():
            assert index == 0 and moved[0] == pytest.approx(2 * min(time_s, 1.0), abs=0.11)


def test_poses_of_bodies_that_do_not_exist_are_left_out():
    track = Track(np.array([pose(0.0)]))
    track.add(0.05, {"7": pose(1.0)})
    track.add(0.05, {"0": [1.0]})
    assert track.move_to(1.0) == {}


def test_one_visitor_plays_and_the_others_wait_in_order():
    now = [0.0]
    visitors = Visitors(lambda: now[0])
    for name in "abc":
        visitors.enter(name)
    assert visitors.may_play("a") and not visitors.may_play("b")
    visitors.ask("b")
    visitors.ask("c")
    assert [visitors.place(name) for name in "abc"] == [0, 1, 2]
    visitors.pass_on()
    assert [visitors.place(name) for name in "abc"] == [-1, 0, 1] and not visitors.may_play("a")
    now[0] += IDLE_S + 1
    assert not visitors.update(busy=True)  # nobody loses the turn in the middle of a run
    now[0] += IDLE_S + 1
    assert visitors.update(busy=False) and visitors.player == "c"


def test_a_reload_keeps_the_turn_and_leaving_loses_it():
    now = [0.0]
    visitors = Visitors(lambda: now[0])
    visitors.enter("a")
    assert visitors.may_play("a")
    visitors.leave("a")
    now[0] += AWAY_S / 2
    visitors.enter("b")
    assert not visitors.update(busy=False) and not visitors.may_play("b")
    visitors.enter("a")
    assert visitors.may_play("a")
    visitors.leave("a")
    now[0] += AWAY_S + 1
    assert visitors.update(busy=False) and visitors.may_play("b")
