"""What a user sees of a server: one that fails in every way, one that constrains answers, and a real one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.errors
import jsonschema
import pytest
from tests.listening import free_port
from tests.mind.fake_server import CALL, FakeServer, Reply, called, said

from qwenarm.cli import main as cli
from qwenarm.episode.drive import drive
from qwenarm.errors import ModelUnavailable, PromptFailed
from qwenarm.evaluation import ledger
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import perform
from qwenarm.mind.backends.openai_server import MAX_FAILED_PROMPTS_IN_A_ROW, OpenAIServer
from qwenarm.mind.backends.transformers_serve import load_processors_without_videos, make_cache
from qwenarm.mind.checkpoints.load import bundled_folder
from qwenarm.mind.families import family_named
from qwenarm.mind.open_model import open_model
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.parsing.parse import parse as parse_text
from qwenarm.mind.prompt.messages import frame_sizes, to_prompt
from qwenarm.mind.prompt.presets import QWEN_PRESET
from qwenarm.skills import specs
from qwenarm.types import Episode, FormatError, Outcome, RunConfig

GIVE_UP = '<tool_call>\n{"name": "give_up", "arguments": {"reason": "only a test"}}\n</tool_call>'
PAGE = "<html><head><title>502</title></head><body><h1>502 Bad Gateway</h1><p>nginx</p></body></html>"
CUT = Reply(body="x" * 99, whole=False)
SLOW_S = 1.5
SIZES = {"front": (480, 640)}


@pytest.fixture
def ask(server, look, specs):
    """Asks about several tasks at once, "task 0", "task 1" and so on, after one prompt that goes well."""

    def ask(count=1, warm=True, **options):
        remote = OpenAIServer(server.url, "qwen", **{"backoff_s": 0.01, **options})
        prompts = [to_prompt(look(f"task {n}"), (), specs, remote.family, QWEN_PRESET) for n in range(count)]
        if warm:
            answer, server.answer = server.answer, lambda request: called()
            remote.generate(prompts[:1])
            server.answer = answer
        server.requests.clear()
        return remote.generate(prompts)

    return ask


def task_of(request: dict[str, Any]) -> str:
    return request["messages"][-1]["content"][-1]["text"].splitlines()[1]


def fail_at_first(times: int, reply: Reply):
    """An answer that is ``reply`` so many times and good from then on."""
    left = iter([reply] * times)
    return lambda request: next(left, called())


# --- what passes by itself


@pytest.mark.parametrize(
    "reply",
    [Reply(429, "busy"), Reply(500, {"error": {"message": "busy"}}), Reply(502, PAGE), Reply(503), CUT],
    ids=["429", "500", "502", "503", "cut"],
)  # fmt: skip
def test_a_passing_fault_is_not_seen(server, ask, reply):
    server.answer = fail_at_first(2, reply)
    assert "pick" in ask()[0].text
    assert len(server.requests) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(server, ask, form):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    server.answer = fail_at_first(1, Reply(429, headers={"Retry-After": "0.5" if form == "seconds" else date}))
    began = time.monotonic()
    assert "pick" in ask(backoff_s=0.0)[0].text
    assert time.monotonic() - began > 0.5


def test_a_batch_is_sent_at_once_and_no_more_than_allowed(server, ask):
    server.answer = lambda request: Reply(body=said(task_of(request)), wait_s=1.0)
    began = time.monotonic()
    assert [answer.text for answer in ask(16, concurrency=8)] == [f"Task: task {n}" for n in range(16)]
    assert time.monotonic() - began < 16 * 1.0
    assert server.busiest == 8


# --- what one prompt fails at, alone

FAULTS = {
    "refused image": (Reply(400, {"error": {"message": "cannot identify image file"}}), "400: cannot identify image"),
    "too long": (Reply(400, {"error": {"message": "maximum context length is 4096 tokens"}}), "maximum context length"),
    "invalid": (Reply(422, {"detail": "Unexpected fields in the request"}), "422: Unexpected fields"),
    "error": (Reply(500, "Internal Server Error"), "500: Internal Server Error"),
    "slow": (Reply(body=called(), wait_s=9.0), f"did not answer within {SLOW_S} s"),
    "cut": (CUT, "broke the connection"),
    "no JSON": (Reply(body="hello"), "no 'choices' in its answer"),
    "error in a 200": (Reply(body={"error": {"message": "boom", "code": 500}}), "status 500: boom"),
    "error without a number in a 200": (Reply(body={"error": {"message": "boom", "code": "oops"}}), "status 500: boom"),
    "an object that is an error": (Reply(body={"object": "error", "message": "boom", "code": 400}), "status 400: boom"),
    "an error for a choice": (Reply(body={"choices": [{"error": {"message": "boom", "code": 422}}]}), "422: boom"),
    "odd message": (Reply(body={"choices": [{"message": "hello"}]}), "breaks the OpenAI protocol"),
    "no message": (Reply(body={"choices": [{"text": "hello"}]}), "breaks the OpenAI protocol"),
    "odd usage": (Reply(body={**called(), "usage": "much"}), "breaks the OpenAI protocol"),
    "odd packing": (
        Reply(body=called(), headers={"Content-Encoding": "gzip"}),
        "compressed answer that cannot be read",
    ),
    "other JSON": (Reply(body={"text": "hello"}), "no 'choices' in its answer"),
    "no choice": (Reply(body={"choices": []}), "without any choice"),
    "odd choice": (Reply(body={"choices": [3]}), "no 'choices' in its answer"),
}


def patience(name: str) -> dict[str, float]:
    return {"timeout_s": SLOW_S} if name == "slow" else {}


def test_arguments_without_end_are_an_unreadable_answer_of_the_model(server, ask):
    server.answer = lambda request: Reply(body=called(arguments="[" * 3000))
    (answer,) = ask(1)
    assert parse_text(answer.text, specs(), family_named("qwen3_vl"), {}).error is FormatError.BROKEN


@pytest.mark.parametrize("name", FAULTS)
def test_a_prompt_fails_alone(server, ask, name):
    reply, words = FAULTS[name]
    server.answer = lambda request: reply if "task 1" in task_of(request) else called()
    good, bad, also_good = ask(3, retries=1, **patience(name))
    assert "pick" in good.text and "pick" in also_good.text
    assert isinstance(bad, PromptFailed)
    with pytest.raises(PromptFailed, match=words):
        raise bad


@pytest.mark.parametrize("name", FAULTS)
def test_a_server_that_never_answered_is_at_fault(server, ask, name):
    server.answer = lambda request: FAULTS[name][0]
    with pytest.raises(ModelUnavailable, match=FAULTS[name][1]):
        ask(warm=False, retries=1, **patience(name))


def test_so_is_one_that_fails_many_in_a_row(server, look, specs):
    remote = OpenAIServer(server.url, "qwen", retries=0)
    prompts = [to_prompt(look(), (), specs, remote.family, QWEN_PRESET)]
    remote.generate(prompts)
    server.answer = lambda request: Reply(500, "out of memory")
    for _ in range(MAX_FAILED_PROMPTS_IN_A_ROW - 1):
        assert isinstance(remote.generate(prompts)[0], PromptFailed)
    with pytest.raises(ModelUnavailable, match="out of memory"):
        remote.generate(prompts)


def test_a_pause_beyond_the_deadline_is_not_waited_for(server, ask):
    server.answer = lambda request: Reply(429, "come back tomorrow", {"Retry-After": "86400"})
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="tomorrow"):
        ask(deadline_s=5.0)
    assert time.monotonic() - began < 4


def test_what_took_too_long_is_not_asked_again(server, ask):
    server.answer = lambda request: Reply(body=called(), wait_s=9.0)
    ask(timeout_s=0.3)
    assert len(server.requests) == 1


# --- what ends the run


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, {"error": {"message": "Incorrect API key"}}), r"401: Incorrect API key.*QWENARM_API_KEY"),
        (Reply(403, "forbidden"), r"403: forbidden.*QWENARM_API_KEY"),
        (Reply(404, {"error": {"message": "no such model"}}), "404: no such model"),
        (Reply(200, {"error": {"message": "Incorrect API key", "code": "401"}}), r"401: Incorrect.*QWENARM_API_KEY"),
    ],
)
def test_what_no_other_prompt_can_pass(server, ask, reply, words):
    server.answer = lambda request: reply if "task 1" in task_of(request) else called()
    with pytest.raises(ModelUnavailable, match=words):
        ask(3)
    assert len(server.requests) == 3, "not repeated"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(502, PAGE), "502: 502 Bad Gateway nginx"),
        (Reply(503), "503"),
        (Reply(429, {"error": "too many requests"}), "429: too many requests"),
        (Reply(529, "overloaded"), "529: overloaded"),
        (Reply(200, {"error": {"message": "rate limit", "code": 429}}), "429: rate limit"),
    ],
)
def test_an_outage_is_no_fault_of_the_prompts(server, ask, reply, words):
    server.answer = lambda request: reply if "task 1" in task_of(request) else called()
    with pytest.raises(ModelUnavailable, match=words):
        ask(3, retries=1)
    assert len(server.requests) == 4, "repeated as often as was allowed"


def test_a_server_that_goes_away(server, ask):
    server.answer = lambda request: (server.close(), called())[1]
    ask(warm=False)
    with pytest.raises(ModelUnavailable, match="Is the server running"):
        OpenAIServer(server.url, "qwen", backoff_s=0.01)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://", "http://[", "http://bad host", "http://127.0.0.1:99999"]
)
def test_nothing_behind_the_url(url):
    with pytest.raises(ModelUnavailable):
        OpenAIServer(url, "qwen", backoff_s=0.01)


@pytest.mark.parametrize("body", ["hello", "[]", '{"data": 3}', '{"data": [3]}'])
def test_something_else_behind_the_url(server, body):
    server.models = Reply(body=body)
    with pytest.raises(ModelUnavailable, match="does not speak the OpenAI protocol"):
        OpenAIServer(server.url, "qwen")


def test_a_locked_server_says_so_at_once(server, monkeypatch):
    server.key = "secret"
    monkeypatch.delenv("QWENARM_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelUnavailable, match="QWENARM_API_KEY"):
        OpenAIServer(server.url, "qwen")
    assert OpenAIServer(server.url, "qwen", api_key="secret").name == "qwen"


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(400, {"error": "no tools"}),
        Reply(422, {"detail": "unexpected"}),
        Reply(500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
        Reply(404, {"error": {"message": "No endpoints found that support tool use", "code": 404}}),
    ],
    ids=["400", "422", "llama.cpp", "OpenRouter"],
)
def test_a_server_that_takes_no_tools_gets_them_as_text(server, look, specs, refusal):
    server.answer = lambda request: refusal if "tools" in request else called()
    remote = OpenAIServer(server.url, "qwen", backoff_s=5.0)
    prompt = to_prompt(look(), (), specs, remote.family, QWEN_PRESET)
    began = time.monotonic()
    assert "pick" in remote.generate([prompt])[0].text
    assert time.monotonic() - began < 5.0, "a refusal is not repeated"
    assert '"name": "pick"' in server.requests[-1]["messages"][0]["content"]
    assert remote.describe()["tools"] == "text"
    asked = len(server.requests)
    remote.generate([prompt])
    assert len(server.requests) == asked + 1, "what was learned is kept"


def test_ctrl_c_cuts_at_once(server, ask):
    server.answer = lambda request: Reply(body=called(), wait_s=30.0)

    def press() -> None:
        while server.busy < 4:
            time.sleep(0.01)
        pressed.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    pressed: list[float] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=press, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            ask(4, warm=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - pressed[0] < 2
    while len(server.left) < 4 and time.monotonic() - pressed[0] < 5:
        time.sleep(0.01)
    assert len(server.left) == 4, "the server can stop, too"


# --- constrained answers


@pytest.fixture(params=["vllm", "sglang"])
def constraining(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    server = FakeServer(request.param)
    yield server
    server.close()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
@pytest.mark.parametrize(
    "says", [CALL.replace("512", "5120"), CALL[:-20], "I do not know.", CALL.replace("pick", "fly")]
)
def test_a_constrained_answer_cannot_be_malformed(constraining, look, specs, family, says):
    constraining.says = lambda request: says
    observation = look()

    def decide(**options):
        remote = OpenAIServer(constraining.url, "qwen", family=family, **options)
        text = remote.generate([to_prompt(observation, (), specs, remote.family, QWEN_PRESET)])[0].text
        return parse(text, specs, remote.family, frame_sizes(observation, QWEN_PRESET), max_calls=1)

    assert decide(constrain="off").error is not None
    assert decide().error is None


def test_a_good_answer_stays_as_it_is(constraining, look, specs):
    remote = OpenAIServer(constraining.url, "qwen")
    constraining.says = lambda request: f"<think>\nIt is red.\n</think>\n\n{CALL}"
    assert remote.generate([to_prompt(look(), (), specs, remote.family, QWEN_PRESET)])[0].text == constraining.says({})
    request = constraining.requests[0]
    assert "tools" not in request and '"name": "pick"' in request["messages"][0]["content"]
    assert remote.describe()["constrain"] == "structured" and remote.describe()["tools"] == "text"


@pytest.mark.parametrize(
    ("kind", "version", "constrain"),
    [
        ("", "", "off"),
        ("vllm", "0.11.2", "off"),
        ("vllm", "0.12.0", "structured"),
        ("vllm", "1.0.1+cu130", "structured"),
        ("vllm", "?", "off"),
        ("sglang", "", "structured"),
    ],
)
def test_only_a_server_that_can_is_asked_to_constrain(kind, version, constrain):
    server = FakeServer(kind, version)
    try:
        facts = OpenAIServer(server.url, "qwen").describe()
        assert (facts["constrain"], facts["server"]) == (constrain, f"{kind} {version}".strip())
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["", "vllm", "sglang"])
@pytest.mark.parametrize(
    ("enforces", "found"),
    [
        (set(), "off"),
        ({"json_schema"}, "json_schema"),
        ({"required"}, "required"),
        ({"json_schema", "required"}, "json_schema"),
    ],
)
def test_what_a_server_enforces_is_found_out(kind, enforces, found):
    server = FakeServer(kind)
    server.enforces = enforces
    try:
        facts = OpenAIServer(server.url, "qwen").describe()
        assert (facts["constrain"], facts["enforced"]) == (found, None if found == "off" else True)
        for asked in ("json_schema", "required"):
            assert OpenAIServer(server.url, "qwen", constrain=asked).describe()["enforced"] is (asked in enforces)
        count = len(server.trials)
        assert OpenAIServer(server.url, "qwen", constrain="off").describe()["enforced"] is None
        assert len(server.trials) == count, "nothing is tried that is not asked for"
    finally:
        server.close()


@pytest.mark.parametrize("max_calls", [1, 3])
def test_a_json_schema_holds_exactly_the_calls_of_the_tools(server, look, specs, max_calls):
    remote = OpenAIServer(server.url, "qwen", constrain="json_schema")
    prompt = replace(to_prompt(look(), (), specs, remote.family, QWEN_PRESET), max_calls=max_calls)
    remote.generate([prompt])
    request = server.requests[0]
    assert "tools" not in request and '"name": "pick"' in request["messages"][0]["content"]
    schema = request["response_format"]["json_schema"]["schema"]
    call = {"name": "pick", "arguments": {"at": {"label": "red cube", "point_2d": [512, 430]}}}
    good = {"call": call} if max_calls == 1 else {"calls": [call] * max_calls}
    jsonschema.validate(good, schema)
    assert parse(json.dumps(good), specs, remote.family, SIZES, max_calls=max_calls).error is None
    outside = {"name": "pick", "arguments": {"at": {"label": "x", "point_2d": [5000, 1]}}}
    for bad in ({**call, "name": "fly"}, {**call, "arguments": {}}, outside):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"call": bad} if max_calls == 1 else {"calls": [bad]}, schema)


def test_a_call_can_be_required(server, look, specs):
    remote = open_model(f"{server.url}#qwen,constrain=required")
    remote.generate([to_prompt(look(), (), specs, remote.family, QWEN_PRESET)])
    assert server.requests[0]["tool_choice"] == "required"
    assert len(server.requests[0]["tools"]) == len(specs)


# --- as the command line shows it


def test_a_model_without_eyes_plays_with_the_scene_as_text(server, tmp_path, capsys):
    server.answer = lambda request: said(GIVE_UP)
    play = ["run", "--task", "put", "--seed", "1", "--model", f"{server.url}#qwen,images=no", "--out", str(tmp_path)]
    assert cli.main(play) == 2
    assert "takes no images; play it with --policy state_text" in capsys.readouterr().err
    assert cli.main([*play, "--policy", "state_text"]) == 0
    words = server.requests[-1]["messages"][1]["content"]
    assert isinstance(words, str) and "\nScene: " in words


def evaluate(url: str, folder: Path, *more: str) -> int:
    return cli.main(
        ["eval", "--task", "put", "--seeds", "3", "--batch", "3", "--model", url, "--out", str(folder), *more]
    )


@pytest.mark.render
def test_an_evaluation_goes_on_past_a_prompt_that_fails(server, tmp_path, capsys):
    poisoned: list[str] = []

    def answer(request):
        poisoned.append(task_of(request)) if not poisoned else None
        return Reply(400, {"error": "bad image"}) if task_of(request) == poisoned[0] else said(GIVE_UP)

    server.answer = answer
    assert evaluate(f"{server.url}#qwen", tmp_path) == 0
    told = capsys.readouterr().out
    assert told.count(": gave up") == 2 and told.count(": crashed") == 1
    assert "bad image" in (tmp_path / "episodes.jsonl").read_text(encoding="utf-8")


@pytest.mark.render
def test_an_evaluation_stops_when_the_server_does_and_goes_on_later(server, tmp_path, capsys):
    server.answer = lambda request: Reply(401, "no") if len(server.requests) > 2 else said(GIVE_UP)
    assert evaluate(f"{server.url}#qwen", tmp_path, "--batch", "1") == 2
    ended = capsys.readouterr()
    assert ended.out.count(": gave up") == 2 and "Traceback" not in ended.err
    assert ended.err.count("error") == 1 and "401" in ended.err
    server.answer = lambda request: said(GIVE_UP)
    assert evaluate(f"{server.url}#qwen", tmp_path) == 0
    assert capsys.readouterr().out.count(": gave up") == 1


@pytest.mark.render
def test_several_workers_and_a_batch_share_one_server_and_store_the_same(server, tmp_path):
    for name, more in {"alone": (), "two": ("--workers", "2")}.items():
        assert evaluate(f"{server.url}#qwen", tmp_path / name, *more) == 0
    alone, two = ({row.key: row for row in ledger.rows(tmp_path / name)} for name in ("alone", "two"))
    assert alone == two and len(two) == 3
    assert dict(ledger.fingerprints(tmp_path / "alone")) == dict(ledger.fingerprints(tmp_path / "two"))


@pytest.mark.render
def test_an_answer_that_was_cut_is_a_format_error_of_its_episode(server, tmp_path):
    server.answer = lambda request: said("I think", finish="length")
    remote = open_model(f"{server.url}#qwen")
    episode = next(drive([perform(RunConfig("put", model=server.url), FIRST_SEED, remote)], remote))
    assert episode.outcome is Outcome.FORMAT
    assert {turn.decision.error for turn in episode.turns} == {FormatError.TRUNCATED}


# --- a real server: transformers serve with the bundled checkpoint

CHOICE = RunConfig("put", model="bundled")


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}#{bundled_folder()},preset=bundled"


def ready(port: int, within_s: float) -> bool:
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").is_success
        except httpx.TransportError:
            time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """transformers' server on a thread of this process: its start takes no second time to load torch."""
    from transformers import Qwen3VLProcessor
    from transformers.cli.serve import Serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(Qwen3VLProcessor, "get_attributes", Qwen3VLProcessor.get_attributes)  # put back afterwards
        load_processors_without_videos()
        port = free_port()
        server = Serve(
            str(bundled_folder()), device="cpu", dtype="float32", host="127.0.0.1", port=port, non_blocking=True
        )
        try:
            assert ready(port, within_s=60)
            yield port
        finally:
            server.kill_server()


def first_turns(model: str, turns: int, **options: Any) -> Episode:
    """The first turns of one closed-loop episode."""
    backend = open_model(model, **options)

    class Short:
        """The backend, which gives up after some answers."""

        def __init__(self) -> None:
            self.asked = 0

        def generate(self, prompts):
            self.asked += 1
            if self.asked > turns:
                return [PromptFailed("enough") for _ in prompts]
            return backend.generate(prompts)

    short = Short()
    return next(drive([perform(CHOICE, FIRST_SEED, backend)], short))


def decided(episode: Episode) -> list[tuple[str, Any]]:
    return [(turn.decision.raw, turn.decision.calls) for turn in episode.turns if turn.completions]


@pytest.mark.render
def test_through_a_real_server_the_bundled_model_does_the_same(serving):
    remote = first_turns(address(serving), 2)
    local = first_turns("bundled", 2, device="cpu", dtype="float32")
    assert len(decided(remote)) == 2
    assert decided(remote) == decided(local)
    assert remote.final_hash == local.final_hash


def test_a_machine_without_a_cache_can_serve(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "no" / "cache"))
    with pytest.raises(huggingface_hub.errors.CacheNotFound):
        huggingface_hub.scan_cache_dir(tmp_path / "no" / "cache")
    make_cache()
    assert not huggingface_hub.scan_cache_dir(tmp_path / "no" / "cache").repos


def test_a_real_server_refuses_another_model(serving):
    with pytest.raises(ModelUnavailable, match="Server is pinned to"):
        OpenAIServer(f"http://127.0.0.1:{serving}", "Qwen/Qwen3-VL-4B-Instruct")


@pytest.mark.slow
@pytest.mark.render
def test_a_whole_episode_through_a_server_of_its_own(tmp_path):
    """As a user starts it: a process of its own, offline, with an empty cache."""
    port = free_port()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "qwenarm.mind.backends.transformers_serve", "bundled"]
    options = ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        assert ready(port, within_s=180), (tmp_path / "log").read_text()
        remote, local = open_model(address(port)), open_model("bundled", device="cpu", dtype="float32")
        episodes = [next(drive([perform(CHOICE, FIRST_SEED, model)], model)) for model in (remote, local)]
        assert decided(episodes[0]) == decided(episodes[1])
        assert episodes[0].final_hash == episodes[1].final_hash
        assert episodes[0].outcome is episodes[1].outcome
    finally:
        process.terminate()
        process.wait(30)
