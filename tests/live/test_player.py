"""The player without its process: what visitors do reaches the run, its record and the journal."""

import asyncio
import gc
import json
import sys
import weakref
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast
from zipfile import ZipFile

import numpy as np
import pytest
from tests.live.conftest import serve
from websockets.sync.client import connect

from qwenarm.cli.main import main
from qwenarm.diagnosis.find_cause import Finding
from qwenarm.diagnosis.oracle_replacements import ModuleNotes
from qwenarm.display.captions import call_text, pairs, result_text
from qwenarm.episode.drive import drive
from qwenarm.episode.trace import read
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.factory import make_env, perform
from qwenarm.live import meshes
from qwenarm.live.counterfactuals import finding_text, models_verdict, verdict
from qwenarm.live.export import LEFT_BEHIND, UNFINISHED_FOLDER, export
from qwenarm.live.exports import Exports
from qwenarm.live.hub import LivePage
from qwenarm.live.interventions import MAX_SPEED, TOLD_ALREADY, TOO_LATE
from qwenarm.live.journal import JOURNAL_FILE, Journal, JournalReader, run_folder
from qwenarm.live.kiosk import QUIET_S, TOUR_TITLE, Schedule, tour
from qwenarm.live.player import Player
from qwenarm.live.recorder import MAX_TEXT_CHARS, JournalWatcher
from qwenarm.live.requests import Choices, config_from
from qwenarm.live.scene import LiveScene, Track
from qwenarm.live.session import LiveSession
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.mind.checkpoints.load import bundled_folder
from qwenarm.types import Episode, Outcome, RunConfig, RunInfo


@pytest.fixture
def player(tmp_path):
    with Journal(tmp_path) as journal:
        found = Player(journal)
        found.controls.set(speed=1000.0)  # no waiting
        yield found


def obey(player: Player, **command) -> None:
    player.controls.start()
    player.controls.set(speed=1000.0)
    player._obey(command)


def play(player: Player, **config) -> None:
    obey(player, do="play", config={"policy": "oracle", **config}, seed=0)


def events(player: Player, kind: str) -> list[dict]:
    found = map(json.loads, (player.journal.folder / JOURNAL_FILE).read_text().splitlines())
    return [event for event in found if event["kind"] == kind]


def last_episode(player: Player):
    return read(run_folder(player.journal.folder, player.run)).episodes[-1]


def when(player: Player, kind: str, act) -> None:
    """Lets a visitor act as soon as an event of this kind has been written."""
    write = player.journal.write

    def watched(written: str, *args, **fields) -> None:
        write(written, *args, **fields)
        if written == kind:
            act()

    player.journal.write = watched


GREEN = {"do": "correct", "text": "put the green cube in the blue bowl"}


def test_the_oracle_tells_visitors_what_it_would_do_and_changes_nothing(player):
    """Of itself it tells what it then does; a run with it ends in the same bits as one without."""
    play(player, task="stack")
    told = [event["call"] for event in events(player, "oracle")]
    assert told == [call for event in events(player, "decided") for call in event["calls"]]
    (alone,) = drive([perform(last_episode(player).run.config, 0, None)])
    assert alone.final_hash == last_episode(player).final_hash


@pytest.mark.parametrize("text", [GREEN["text"], "no, the green cube"])
def test_a_correction_changes_instruction_and_goal(player, text):
    when(player, "calling", lambda: player._control(GREEN | {"text": text}))
    play(player, words="put the red cube in the blue bowl")
    episode = last_episode(player)
    assert episode.turns[0].observation.instruction == "put the red cube in the blue bowl"
    assert episode.turns[-1].observation.instruction == "put the green cube in the blue bowl"
    assert "judged by this" in events(player, "corrected")[0]["read_as"]
    assert episode.outcome == "success"  # of the oracle, by the corrected goal
    failed = replace(episode, outcome=Outcome.FAILURE)
    assert verdict("oracle's eyes", failed, episode, ModuleNotes()).endswith("this tells nothing about what it saw.")
    with pytest.raises(BadInput, match="visitor"):
        player._find_cause(player.run)


def test_the_same_words_again_change_nothing_and_are_told(player):
    """“Do it” becomes “Correct it”: whoever presses twice has not taken part in the run."""
    when(player, "calling", lambda: player._control(GREEN))
    play(player, words=GREEN["text"])
    assert TOLD_ALREADY in [event["text"] for event in events(player, "refused")]
    assert events(player, "stored")[-1]["can_be_filmed"] and not events(player, "corrected")


def test_a_correction_that_nobody_looks_at_any_more_changes_nothing_and_is_told(player):
    """Neither goal nor instruction: the run would be judged by words that nobody has acted on."""

    def correct() -> None:
        if events(player, "calling")[-1]["call"].startswith("done"):
            player._control({"do": "correct", "text": "put the red cube on the table"})

    when(player, "calling", correct)
    play(player, words="put the red cube in the blue bowl")
    assert last_episode(player).outcome == "success" and not events(player, "corrected")
    player._control({"do": "correct", "text": "put the red cube on the table"})
    assert [event["text"] for event in events(player, "refused")] == [TOO_LATE] * 2
    play(player, words="put the red cube in the blue bowl")
    assert not events(player, "corrected"), "nor is it kept for the next run"


def test_what_is_dragged_comes_to_rest_where_the_pointer_is_held_still_and_it_is_told(player):
    target = np.zeros(3)

    def pull() -> None:
        start = {body["name"]: body["pose"] for body in events(player, "started")[-1]["bodies"]}
        target[:] = np.add(start["green_cube"][:3], (0.0, -0.2, 0.06))
        player._control({"do": "pull", "object": "green_cube", "to": tuple(target)})

    when(player, "looked", pull)
    play(player, words="put the red cube in the blue bowl")
    bodies = events(player, "started")[-1]["bodies"]
    track = Track(np.array([body["pose"] for body in bodies]))
    for event in events(player, "poses"):
        track.add(event["t"], event["poses"])
    track.move_to(1e9)
    green = [body["name"] for body in bodies].index("green_cube")
    assert track.poses[green][:3] == pytest.approx(target, abs=0.005)
    assert "the green cube was moved" in last_episode(player).detail
    assert not events(player, "stored")[-1]["can_be_filmed"]


def test_a_slip_opens_the_fingers_and_the_oracle_recovers(player):
    slips = iter([lambda: None] * 60 + [lambda: player.controls.set(slip=True)])
    when(player, "poses", lambda: next(slips, lambda: None)())
    play(player, words="put the red cube in the blue bowl")
    assert events(player, "touched")[0]["text"] == "the fingers were opened"
    assert last_episode(player).outcome == "success"


@pytest.mark.parametrize("seed", range(4))
def test_every_decision_stands_in_the_trace_with_its_result_whatever_visitors_do(player, seed):
    """They drag, let go, let slip, correct, pause and, half of them, stop, at moments that a seed draws."""
    random = Random(seed)
    stops = ({"do": "stop"},) if seed % 2 else ()

    def disturb() -> None:
        if random.random() < 0.8:
            return
        names = [body["name"] for body in events(player, "started")[-1]["bodies"] if body["graspable"]]
        to = (random.uniform(0.2, 0.7), random.uniform(-0.4, 0.4), random.uniform(0.0, 0.5))
        pulls = [{"do": "pull", "object": name, "to": target} for name in names for target in (to, None)]
        player._control(random.choice([*pulls, {"do": "slip"}, GREEN, *stops]))

    for kind in ("looked", "decided", "calling", "called", "turned"):
        when(player, kind, disturb)
    moments = iter(range(10_000))
    when(player, "poses", lambda: disturb() if next(moments) % 10 == 0 else None)
    play(player, words="put the red cube in the blue bowl")
    turns = last_episode(player).turns
    decided = [event["calls"] for event in events(player, "decided")]
    assert [[call_text(call) for call in turn.decision.calls] for turn in turns] == decided
    kept = [(call_text(call), result_text(result)) for turn in turns for call, result in pairs(turn) if result]
    told = [(event["call"], event["result"]) for event in events(player, "called")]
    begun = {event["turn"] for event in events(player, "calling")}
    assert kept == told if len(begun) == len(turns) else kept[:-1] == told, "it was stopped before the call began"
    assert all(result for turn in turns for _, result in pairs(turn))


def test_a_stopped_run_is_kept_and_the_next_one_is_played(player):
    when(player, "calling", lambda: player.controls.set(stopped=player.run == 1))
    play(player)
    play(player)
    assert [event["outcome"] for event in events(player, "finished")] == ["stopped", "success"]


def played(player: Player, *commands: dict) -> list[int]:
    """Brings commands while the first scene is shown; returns the seeds of what was started."""
    player._backend = lambda config: None

    def visitors_act() -> None:
        for command in commands:
            if not player._control(command):
                player.order(command)

    acts = {"ready": visitors_act, "stopped": lambda: player.order(None), "stored": lambda: player.order(None)}
    write = player.journal.write

    def watched(kind: str, *args, **fields) -> None:
        write(kind, *args, **fields)
        if kind in acts:
            acts.pop(kind)()

    player.journal.write = watched
    player.work("bundled", 0)
    return [event["seed"] for event in events(player, "started")]


IDLE = {"do": "play", "config": {"policy": "idle"}}


def test_the_newest_command_counts(player):
    """Whoever clicks eight times does not see eight runs."""
    scenes = [{"do": "show", "config": {}, "seed": seed} for seed in (1, 2)]
    assert played(player, *scenes, *({**IDLE, "seed": seed} for seed in range(3, 11))) == [0, 10]
    assert [event["outcome"] for event in events(player, "finished")] == ["out of turns"]


def test_a_new_run_ends_the_one_that_is_being_prepared_or_played(player):
    player.controls.set(speed=1000.0)

    def storm() -> None:
        if len(events(player, "started")) < 4:
            player.order({**IDLE, "seed": len(events(player, "started"))})

    write = player.journal.write

    def watched(kind: str, *args, **fields) -> None:
        write(kind, *args, **fields)
        if kind == "looked":
            storm()
        if kind == "finished" and events(player, "finished")[-1]["outcome"] != "stopped":
            player.order(None)

    player.journal.write = watched
    player._backend = lambda config: None
    player.order({**IDLE, "seed": 9})
    player.work("bundled", 0)
    assert [event["seed"] for event in events(player, "started")] == [0, 9, 2, 3]
    assert len(events(player, "stopped")) == 2, "they had not begun"
    assert [event["outcome"] for event in events(player, "finished")] == ["out of turns"]


def test_a_run_that_was_stopped_while_it_was_paused_leaves_no_pause(player):
    for command in ({"do": "pause", "on": True}, {"do": "stop"}, {"do": "speed", "speed": 4}):
        player._control(command)
    assert [event["paused"] for event in events(player, "pace")] == [True, False]


def test_nothing_is_left_of_a_run_that_is_over(player, monkeypatch):
    """Or memory grows by a model of the world with every run."""
    bodies, started = list[weakref.ref](), JournalWatcher.started

    def watched(watcher, env, policy_name, seed) -> None:
        bodies.append(weakref.ref(env.body))
        started(watcher, env, policy_name, seed)

    monkeypatch.setattr(JournalWatcher, "started", watched)
    gc.disable()  # nothing is collected by chance
    try:
        played(player, {**IDLE, "seed": 1})
        assert len(bodies) == 2 and not any(body() for body in bodies)
    finally:
        gc.enable()


def test_a_body_is_drawn_once_and_not_for_another(player):
    play(player, policy="idle")
    play(player, policy="idle")
    first, second = (event["bodies"] for event in events(player, "started"))
    assert first == second and len({body["mesh"] for body in first}) > 10
    with closing(make_env(config_from({}))) as env:
        env.reset(seed=1)
        model = env.body.model
    for each in meshes.body_meshes(model):
        geoms = [geom for geom in range(model.ngeom) if model.geom_bodyid[geom] == each.body]
        assert each.glb == meshes._glb(model, [geom for geom in geoms if meshes._is_drawn(model, geom)])


def test_two_causes_are_told_as_two():
    assert finding_text(Finding("perception+plan", ("plan+time",))) == (
        "Cause: perception and plan together. Replacing both, but neither alone, turns failure into success "
        "(so would plan with time)."
    )


def test_the_reason_of_a_cause_is_a_sentence_of_its_own():
    found = Finding("perception", why="turn 1: nothing instead of the blue cube, 24.4 cm off")
    assert finding_text(found) == (
        "Cause: perception. Replacing it turns failure into success. "
        "Turn 1: nothing instead of the blue cube, 24.4 cm off."
    )


class Talker(Scripted):
    """Says its answer in two parts. between: what happens then."""

    on_text = None

    def __init__(self, answer, between=lambda: None):
        super().__init__(lambda prompt: answer)
        self.answer, self.between = answer, between

    def generate(self, prompts):
        for end in (20, len(self.answer)):
            if self.on_text is not None:
                self.on_text(self.answer[:end])
            self.between()
        return super().generate(prompts)


GIVE_UP = '<tool_call>\n{"name": "give_up", "arguments": {"reason": "看不见"}}\n</tool_call>'


def test_the_words_of_a_model_are_written_while_it_says_them(player):
    player._backend = lambda config: Talker(GIVE_UP)
    play(player, policy="vlm")
    first, second = events(player, "saying")
    assert (first["start"], second["start"]) == (0, 20) and first["text"] + second["text"] == GIVE_UP
    assert events(player, "decided")[0]["said"] == GIVE_UP


def test_of_endless_words_the_page_is_told_a_part_and_nothing_twice(player):
    answer = GIVE_UP.replace("看不见", "看" * 2_000_000)
    player._backend = lambda config: Talker(answer)
    play(player, policy="vlm")
    assert [len(event["text"]) for event in events(player, "saying")][:2] == [20, MAX_TEXT_CHARS - 20]
    assert len((player.journal.folder / JOURNAL_FILE).read_bytes()) < 2_000_000
    assert last_episode(player).turns[0].decision.raw == answer
    assert list(JournalReader(player.journal.folder).new_events())[-1][1]["kind"] == "stored"


def test_stop_ends_the_answer_of_a_model(player):
    player._backend = lambda config: Talker(GIVE_UP, lambda: player.controls.set(stopped=True))
    play(player, policy="vlm")
    assert [event["text"] for event in events(player, "saying")] == [GIVE_UP[:20]]
    assert not events(player, "decided") and events(player, "finished")[0]["outcome"] == "stopped"


def test_why_tells_what_the_replacement_shows(player):
    play(player, policy="idle")
    obey(player, do="why", run=1, part="oracle's plan")
    assert events(player, "verdict")[-1]["text"].startswith("With oracle's plan it succeeds: what failed was what it")
    assert events(player, "started")[-1]["beside"] == 1
    obey(player, do="cause", run=1)
    assert events(player, "verdict")[-1]["text"].startswith("Cause: plan.")
    with pytest.raises(QwenarmError, match="asks none"):
        obey(player, do="why", run=1, part="eyes shut")


def test_a_chunk_head_plays_beside_the_words_of_its_model(player, monkeypatch):
    """Both stay open, and what cannot be explained says so."""
    monkeypatch.setattr("qwenarm.factory.MAX_EPISODE_STEPS", 16)
    play(player, policy="vlm", altitude="chunk")
    assert [event["calls"] for event in events(player, "decided")] == [["play 8 actions"]] * 2
    play(player, policy="vlm", altitude="step")
    assert list(player.backends) == [("bundled", True), ("bundled", False)]
    with pytest.raises(QwenarmError, match="made no calls that could be replaced"):
        obey(player, do="why", run=1, part="oracle's plan")


def test_another_model_plays_the_same_seed_beside_and_how_both_ended_is_told(player):
    play(player, policy="vlm", model="bundled")
    obey(player, do="model", run=1, model=str(bundled_folder()))
    first, second = events(player, "started")
    assert second["beside"] == 1 and second["bodies"] == first["bodies"]
    assert second["title"] == f"with {bundled_folder()}"
    assert events(player, "verdict")[-1]["text"] == (
        f"At this seed bundled succeeds, and {bundled_folder()} succeeds as well. Only many seeds compare two models."
    )


def test_a_run_that_asked_no_model_is_not_played_with_another(player):
    play(player, policy="idle")
    with pytest.raises(QwenarmError, match="asks no model"):
        obey(player, do="model", run=1, model="bundled")


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (Outcome.SUCCESS, "At this seed a succeeds, and b fails. Only"),
        (Outcome.FAILURE, "At this seed a fails, and b fails as well. Only"),
        (Outcome.STOPPED, "Here b fails. The first run was stopped"),
    ],
)
def test_of_two_models_is_told_how_both_ended(before, told):
    one, other = (
        Episode(RunInfo(RunConfig("put", model=name), 0), "put it there", (), outcome, 0.0, "")
        for name, outcome in (("a", before), ("b", Outcome.FAILURE))
    )
    assert models_verdict(one, other).startswith(told)


def test_an_old_episode_is_watched_again(player):
    play(player)
    recorded = [event["poses"] for event in events(player, "poses")]
    obey(player, do="replay", folder=str(run_folder(player.journal.folder, 1)), index=0)
    assert [event["poses"] for event in events(player, "poses") if event["run"] == 2] == recorded
    assert [event["outcome"] for event in events(player, "finished")] == ["success"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("film_format", ["mp4", "gif"])
def test_a_finished_run_is_filmed_and_its_page_holds_the_film(player, film_format):
    play(player)
    folder = run_folder(player.journal.folder, 1)
    assert export(folder, film_format).stat().st_size > 10_000
    assert ("data:video/mp4" in (folder / "page.html").read_text()) == (film_format == "mp4")


def test_a_finished_run_becomes_a_lerobot_dataset(player):
    pytest.importorskip("pyarrow")
    play(player, policy="idle")
    with ZipFile(export(run_folder(player.journal.folder, 1), "lerobot")) as dataset:
        names = dataset.namelist()
        info = json.loads(dataset.read("meta/info.json"))
    assert info["total_episodes"] == 1 and sum(name.endswith(".mp4") for name in names) == 2


def test_what_a_killed_export_left_is_removed_and_a_finished_file_is_kept(player, capsys):
    pytest.importorskip("pyarrow")
    play(player, policy="idle")
    folder = run_folder(player.journal.folder, 1)
    before = {path.name for path in folder.iterdir()}
    (folder / UNFINISHED_FOLDER / "dataset" / "data").mkdir(parents=True)
    (folder / UNFINISHED_FOLDER / "dataset" / "info.json").write_text("{")
    dataset = export(folder, "lerobot")
    assert capsys.readouterr().out.strip().endswith(LEFT_BEHIND)
    assert {path.name for path in folder.iterdir()} == before | {dataset.name}
    (folder / UNFINISHED_FOLDER).mkdir()
    made = dataset.stat()
    assert export(folder, "lerobot").stat() == made, "whoever asks again gets the same file"


def test_an_export_that_fails_is_told_at_its_run_and_can_be_asked_for_again(player, monkeypatch):
    async def fail(folder: Path, to: str) -> tuple[str, str]:
        return "it needs pyarrow.", ""

    async def ask() -> None:
        exports = Exports(player.journal, lambda run, formats: making.append(formats))
        exports.make(3, "lerobot")
        await asyncio.gather(*exports._making.values())

    making = list[Sequence[str]]()
    monkeypatch.setattr("qwenarm.live.exports._export", fail)
    asyncio.run(ask())
    (told,) = events(player, "exported")
    assert (told["run"], told["told"]) == (3, "lerobot.zip could not be made: it needs pyarrow.")
    assert "lerobot" not in told and making == [["lerobot"], []]


def test_a_missing_library_is_told_in_one_sentence(player, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    play(player, policy="idle")
    folder = run_folder(player.journal.folder, 1)
    before = sorted(folder.iterdir())
    with pytest.raises(QwenarmError, match="needs pyarrow"):
        export(folder, "lerobot")
    assert sorted(folder.iterdir()) == before


def test_the_tour_shows_every_family():
    choices = Choices.of(["bundled"])
    stops = tour(choices, "bundled")
    tasks = {config_from(next(stops)["config"]).task for _ in choices.levels}
    assert tasks == set(choices.levels)


def test_the_tour_waits_for_a_run_that_begins_slowly_and_for_visitors():
    now = [0.0]
    schedule = Schedule(lambda: now[0])

    def due(at_s: float, playing: bool, run: int) -> bool:
        now[0] = at_s
        return schedule.is_due(playing, run)

    assert due(0, False, 0)
    assert not due(6, False, 0) and not due(50, False, 0), "the player prepares it"
    assert not due(51, True, 1) and not due(70, True, 1)
    schedule.touch()
    assert not due(76, False, 1), "somebody is there"
    assert due(131, False, 1)
    assert due(197, False, 1), "what does not begin is passed over"


@pytest.fixture
def sent(monkeypatch) -> list[dict]:
    """The commands of pages whose player is none."""
    found = list[dict]()

    class Alive:
        send = staticmethod(found.append)
        is_alive = staticmethod(lambda: True)
        close = terminate = join = lambda *_: None

    def start(page: LivePage) -> None:
        page._pipe = page._process = Alive()

    monkeypatch.setattr(LivePage, "_start_player", start)
    return found


def test_whose_turn_ends_while_they_drag_lets_go(tmp_path, sent):
    """They are not heard any more: what they held would hang in the air until the run ends."""

    async def visit(page: LivePage) -> None:
        for visitor in ("one", "other"):
            page.enter(visitor)
        assert page.drag("one")
        page.pull("red_cube", (0.5, 0.0, 0.2))
        page.receive("other", {"do": "ask"})
        assert sent[-1] == {"do": "pull", "object": "red_cube", "to": (0.5, 0.0, 0.2)}, "it is still one's turn"
        page.receive("one", {"do": "pass"})
        assert sent[-1] == {"do": "pull", "object": "red_cube", "to": None} and not page.drag("one")
        page.pull("green_cube", (0.5, 0.0, 0.2))
        page.receive("other", {"do": "pause", "on": True})
        assert sent[-2]["to"] and sent[-1]["do"] == "pause"

    page = LivePage(tmp_path)
    asyncio.run(visit(page))
    page.close()


def test_a_tour_that_was_left_paused_goes_on_and_nobody_holds_the_turn(tmp_path, monkeypatch, sent):
    now = [0.0]

    async def left_alone(page: LivePage) -> None:
        watching = asyncio.ensure_future(page._watch_over())
        page.enter("visitor")
        page.receive("visitor", {"do": "pause", "on": True})
        page.receive("visitor", {"do": "speed", "speed": 0.25})
        for now[0] in (30.0, 62.0):
            last = list(sent)
            await asyncio.sleep(0.1)
            if now[0] < QUIET_S:
                assert sent == last and page.visitors.player == "visitor"
        watching.cancel()

    monkeypatch.setattr("qwenarm.live.hub.CHECK_PERIOD_S", 0.01)
    page = LivePage(tmp_path, kiosk=True)
    page._schedule = Schedule(lambda: now[0])
    page.session.ready, page.session.playing, page.session.paused, page.scene.speed = True, 1, True, 0.25
    asyncio.run(left_alone(page))
    page.close()
    assert page.visitors.player == ""
    assert [command["do"] for command in sent[:4]] == ["pause", "speed", "speed", "play"]
    assert sent[2]["speed"] == 1 and sent[3]["title"] == TOUR_TITLE


def test_a_session_that_is_opened_again_is_not_ready_before_its_own_player(tmp_path):
    session = LiveSession(tmp_path, cast(LiveScene, None), lambda event: None, since=100.0)
    for at, ready in ((99.0, False), (101.0, True)):
        session._take(0, {"kind": "ready", "at": at, "run": 0})
        assert session.ready == ready


def test_a_run_of_another_process_is_watched(tmp_path: Path):
    journal = tmp_path / "watched"
    words = ["run", "--policy", "idle", "--no-film", "--out", str(tmp_path / "run"), "--journal", str(journal)]
    assert main(words) == 0
    process, page = serve(tmp_path / "unused", "--watch", str(journal))
    try:
        origin = page.link.rstrip("/")
        cookie = {"Cookie": "qwenarm_visitor=somebody"}
        with connect(origin.replace("http", "ws") + "/events", origin=origin, additional_headers=cookie) as socket:
            told = []
            while not told or told[-1]["kind"] != "finished":
                event = json.loads(socket.recv(timeout=60))
                told += event.get("events", [event])
            socket.send('{"do": "stop"}')
            while told[-1]["kind"] != "refused":
                told.append(json.loads(socket.recv(timeout=60)))
    finally:
        process.terminate()
        process.wait(60)
    assert "started" in [event["kind"] for event in told] and "only watches" in told[-1]["text"]
    assert not (tmp_path / "unused").exists()


def test_of_an_evaluation_whole_episodes_are_recorded_and_nothing_is_changed(tmp_path):
    words = ["eval", "--task", "put", "--policy", "idle", "--seeds", "3", "--batch", "2", "--out"]
    assert main([*words, str(tmp_path / "plain")]) == 0
    assert main([*words, str(tmp_path / "watched"), "--journal", str(tmp_path / "journal")]) == 0
    plain, watched = (read(tmp_path / name).episodes for name in ("plain", "watched"))
    assert sorted(each.final_hash for each in plain) == sorted(each.final_hash for each in watched)
    assert not any(each.run.watcher_failures for each in watched)
    told = [event for _, event in JournalReader(tmp_path / "journal").new_events()]
    runs = [event["run"] for event in told]
    assert runs == sorted(runs) and set(runs) == {1, 2, 3}
    kinds = [event["kind"] for event in told if event["kind"] in ("started", "finished")]
    assert kinds == ["started", "finished"] * 3


def test_speed_keeps_within_its_limits(player):
    assert player._control({"do": "speed", "speed": 1e9}) and player.controls.speed == MAX_SPEED
    assert not player._control({"do": "play"})


def test_a_folder_without_episodes_is_refused(tmp_path):
    with pytest.raises(QwenarmError, match="no episode"):
        LivePage(tmp_path / "session", old=tmp_path)
