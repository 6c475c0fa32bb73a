"""The OpenAI protocol, against a server in this process."""

import base64
import io
import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from tests.mind.fake_server import ARGUMENTS, CALL, LISTED_MODELS, FakeServer, Reply, called, said

from qwenarm.errors import BadInput, ModelUnavailable, UnknownName
from qwenarm.mind.backends._http import proxy_for
from qwenarm.mind.backends._keys import key_for
from qwenarm.mind.backends.openai_server import OpenAIServer
from qwenarm.mind.model_spec import SERVER_OPTIONS, parse_model_spec
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.messages import frame_sizes, to_prompt
from qwenarm.mind.prompt.presets import QWEN_PRESET
from qwenarm.types import FormatError, ImagePoint, SkillCall

PICK = SkillCall("pick", {"at": ImagePoint(0.512, 0.43, "red cube")})


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    server.answer = lambda request: called()
    yield server
    server.close()


@pytest.fixture
def ask(server, look, specs):
    """Opens the model, asks it once, and gives the Decision."""

    def ask(model="qwen", **options):
        remote = OpenAIServer(server.url, model, backoff_s=0.01, **options)
        observation = look()
        completion = remote.generate([to_prompt(observation, (), specs, remote.family, QWEN_PRESET)])[0]
        return parse(
            completion.text, specs, remote.family, frame_sizes(observation, QWEN_PRESET), finish=completion.finish
        )

    return ask


# --- what it is told


@pytest.mark.parametrize(
    ("option", "value"),
    [("concurrency", 0), ("concurrency", -1), ("retries", -1), ("temperature", -1.0), ("temperature", math.inf)]
    + [(name, value) for name in ("timeout_s", "deadline_s") for value in (0.0, -5.0, math.nan)],
)
def test_numbers_that_make_no_sense(server, option, value):
    with pytest.raises(BadInput, match=option):
        OpenAIServer(server.url, "qwen", **{option: value})


def test_secrets_stay_out_of_urls():
    for url in ("http://me:S3CRET@localhost:8000", "http://localhost:8000/?key=S3CRET"):
        with pytest.raises(BadInput, match="QWENARM_API_KEY") as caught:
            OpenAIServer(url, "qwen")
        assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "sent"), [("abc", "Bearer abc"), ("abc\n", "Bearer abc"), ("Basic bWU6eA==", "Basic bWU6eA==")]
)
def test_the_key_goes_into_the_header(server, monkeypatch, key, sent):
    monkeypatch.setenv("QWENARM_API_KEY", key)
    OpenAIServer(server.url, "qwen")
    assert server.headers[-1]["Authorization"] == sent


def test_a_key_that_is_none(server):
    for key in ("schlüssel", "a\nb"):
        with pytest.raises(BadInput, match="characters") as caught:
            OpenAIServer(server.url, "qwen", api_key=key)
        assert key not in str(caught.value)


def test_a_proxy_that_cannot_be_used(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://localhost:1")
    with pytest.raises(ModelUnavailable, match="No connection"):
        OpenAIServer("http://192.0.2.1:8000", "qwen")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_is_asked_for_this_machine(server, monkeypatch, name):
    monkeypatch.setenv(name, "http://192.0.2.1:1")
    assert OpenAIServer(server.url, "qwen").name == "qwen"


def test_which_proxy_is_asked(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    monkeypatch.setenv("no_proxy", "::1,[::1],fe80::1/10,.gpu.example,2001:db8::7,10.0.0.0/8,*.x,,")
    away = ("http://a.example:8000", "http://[2001:db8::8]:8000/v1", "http://192.0.2.1")
    here = ("http://localhost:8000", "http://127.0.0.2", "http://[::1]:8000", "http://0.0.0.0:8000", "https://a.example",
            "http://box.gpu.example:8000", "http://[2001:db8::7]:8000")  # fmt: skip
    assert {proxy_for(url) for url in away} == {"http://proxy:1"}
    assert {proxy_for(url) for url in here} == {None}
    with pytest.raises(ModelUnavailable, match=r"192\.0\.2\.1|proxy"):  # and IPv6 in NO_PROXY crashes nothing
        OpenAIServer("http://192.0.2.1:9", "qwen", retries=0, timeout_s=0.2)


def test_models_that_cannot_be_told_to_think(server):
    with pytest.raises(BadInput, match="cannot be told to think"):
        OpenAIServer(server.url, "qwen", thinking=True)
    assert OpenAIServer(server.url, "qwen", family="qwen3_5", thinking=True).thinking


@pytest.mark.parametrize(
    ("name", "family", "thinks"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", "qwen2_5_vl", False),
        ("/models/Qwen2.5-VL-7B-Instruct/", "qwen2_5_vl", False),
        ("RedHatAI/Qwen2.5-VL-7B-Instruct-FP8", "qwen2_5_vl", False),
        ("Qwen/Qwen3-VL-30B-A3B-Thinking-FP8", "qwen3_vl", True),
        ("Qwen/Qwen3.5-35B-A3B-FP8", "qwen3_5", False),
        ("qwen2.5vl:7b", "qwen2_5_vl", False),
        ("unsloth/Qwen2.5-VL-7B-Instruct-unsloth-bnb-4bit", "qwen2_5_vl", False),
        ("me/Qwen2.5-VL-7B-Instruct-robots", "qwen2_5_vl", False),
        ("qwen3-vl:8b-thinking", "qwen3_vl", True),
        ("hf.co/unsloth/Qwen3-VL-4B-Instruct-GGUF:Q4_K_M", "qwen3_vl", False),
        ("qwen3.6-plus", "qwen3_5", False),
    ],
)
def test_a_published_checkpoint_under_other_names(server, name, family, thinks):
    for listing in ({"id": name}, {"id": "mine", "root": name}):
        server.models = Reply(body={"data": [listing]})
        remote = OpenAIServer(server.url)
        assert (remote.family.name, remote.thinking) == (family, thinks)
        assert remote.describe().get("root", name) == name
        assert not remote.family_from.startswith("assumed")


@pytest.mark.parametrize("name", ["Qwen2.5-7B-Instruct", "qwen3:8b", "Qwen-VL-Chat", "llava"])
def test_a_name_of_another_family(server, name):
    server.models = Reply(body={"data": [{"id": name}]})
    assert OpenAIServer(server.url).family_from.startswith("assumed")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(500, {"error": {"message": "boom"}}), "status 500: boom"),
        (Reply(302, headers={"Location": "https://login.example"}), "status 302: https://login.example"),
    ],
)
def test_a_listing_that_fails_says_why(server, reply, words):
    server.models = reply
    with pytest.raises(ModelUnavailable, match=words):
        OpenAIServer(server.url, backoff_s=0.01)


# --- what is sent


def test_the_request(server, look, specs):
    remote = OpenAIServer(server.url + "/", "qwen", api_key="secret")
    observation = look()
    prompt = to_prompt(observation, (), specs, remote.family, QWEN_PRESET)
    completion = remote.generate([prompt])[0]
    request = server.requests[0]
    assert request["model"] == "qwen"
    assert request["temperature"] == 0
    assert request["max_tokens"] == prompt.max_tokens
    assert [tool["function"]["name"] for tool in request["tools"]] == [spec.name for spec in specs]
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    label, image, words = request["messages"][1]["content"]
    assert (label["text"], words["text"].splitlines()[1]) == ("front:", "Task: put the red cube in the blue bowl")
    data = image["image_url"]["url"].removeprefix("data:image/png;base64,")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), observation.frames[0].rgb)
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert (completion.tokens_in, completion.tokens_out, completion.finish) == (7, 3, "stop")
    assert completion.seconds > 0


def test_the_key_of_the_environment(server, monkeypatch):
    def sent():
        OpenAIServer(server.url, "qwen")
        return server.headers[-1].get("Authorization")

    monkeypatch.delenv("QWENARM_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert sent() is None
    monkeypatch.setenv("OPENAI_API_KEY", "common")
    assert sent() == "Bearer common"
    monkeypatch.setenv("QWENARM_API_KEY", "own")
    assert sent() == "Bearer own"


def test_the_common_key_does_not_leave_in_the_open(monkeypatch):
    monkeypatch.delenv("QWENARM_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "common")
    urls = {
        "https://api.example/v1": "common",
        "http://[::1]:8000/v1": "common",
        "http://10.0.0.7:8000/v1": "",
        "http://localhost.example:80/v1": "",
    }
    assert {url: key_for(url) for url in urls} == urls


def test_a_batch_keeps_its_order(server, look, specs):
    server.answer = lambda request: said(request["messages"][1]["content"][-1]["text"].splitlines()[1])
    remote = OpenAIServer(server.url, "qwen", concurrency=4)
    prompts = [to_prompt(look(f"task {n}"), (), specs, remote.family, QWEN_PRESET) for n in range(12)]
    assert [completion.text for completion in remote.generate(prompts)] == [f"Task: task {n}" for n in range(12)]
    assert remote.generate([]) == []


def test_a_thinking_checkpoint_gets_room_and_its_own_sampling(server):
    server.models = Reply(body={"data": [{"id": "t", "root": "Qwen/Qwen3-VL-8B-Thinking", "owned_by": "vllm"}]})
    remote = OpenAIServer(server.url)
    assert remote.thinking
    sampling = remote.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 0.95, 20)
    assert not OpenAIServer(server.url, temperature=0.0).sampling.temperature


def test_thinking_is_switched_where_there_is_a_switch(server, ask):
    ask(family="qwen3_5", thinking=True)
    ask()
    assert server.requests[0]["chat_template_kwargs"] == {"enable_thinking": True}
    assert "chat_template_kwargs" not in server.requests[1]


def test_all_that_changes_an_answer_is_sent(server, look, specs):
    """A server adds what is left out from the checkpoint's generation_config.json."""

    def sent(**options):
        remote = OpenAIServer(server.url, "qwen", **options)
        remote.generate([to_prompt(look(), (), specs, remote.family, QWEN_PRESET)])
        return server.requests[-1]

    greedy = sent()
    assert (greedy["temperature"], greedy["top_p"], greedy["presence_penalty"]) == (0.0, 1.0, 0.0)
    assert (greedy["top_k"], greedy["min_p"], greedy["repetition_penalty"]) == (0, 0.0, 1.0)
    assert greedy["parallel_tool_calls"] is False
    own = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "presence_penalty": 0.3, "repetition_penalty": 1.1}
    request = sent(**own)
    assert {name: request[name] for name in own} == own
    assert parse_model_spec("http://x#" + ",".join(f"{k}={v}" for k, v in own.items()), SERVER_OPTIONS)[1] == own


@pytest.mark.parametrize(
    ("option", "value"),
    [("top_p", 0.0), ("top_p", 1.1), ("top_k", -1), ("repetition_penalty", 0.0), ("presence_penalty", math.nan)],
)
def test_sampling_that_makes_no_sense(server, option, value):
    with pytest.raises(BadInput, match=option):
        OpenAIServer(server.url, "qwen", **{option: value})


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_the_protocol_alone(server, ask, status):
    def answer(request):
        unknown = request.keys() & {"top_k", "min_p", "repetition_penalty", "parallel_tool_calls"}
        return Reply(status, {"error": f"unknown field {min(unknown)}"}) if unknown else called()

    server.answer = answer
    assert ask().calls == (PICK,)
    assert "tools" in server.requests[-1]


def test_what_a_server_may_add_is_told(server, look, specs):
    server.answer = lambda request: Reply(400, {"error": "unknown field"}) if "top_k" in request else called()
    remote = OpenAIServer(server.url, "qwen")
    assert remote.describe()["server_may_add"] == []
    prompt = to_prompt(look(), (), specs, remote.family, QWEN_PRESET)
    remote.generate([prompt])
    assert remote.describe()["server_may_add"] == ["top_k", "min_p", "repetition_penalty"]
    remote.generate([prompt])
    assert len(server.requests) == 3, "what was learned is kept"


def test_pixels_are_counted_as_the_server_resizes(server):
    remote = OpenAIServer(server.url, "mine", family="qwen2_5_vl", max_pixels=100_000)
    assert remote.family.codec.span((480, 640)) == (364, 252)
    for options in ({"family": "qwen3_vl"}, {"family": "qwen2_5_vl", "min_pixels": 200_000}):
        with pytest.raises(BadInput, match="max_pixels"):
            OpenAIServer(server.url, "mine", **{"max_pixels": 100_000, **options})


@pytest.mark.parametrize(
    "listing",
    [
        {"input_modalities": ["text"]},
        {"architecture": {"input_modalities": ["text"]}},
        {"type": "llm"},
    ],
)
def test_a_model_without_eyes_is_sent_text_alone(server, look, specs, listing):
    server.models = Reply(body={"data": [{"id": "qwen", **listing}]})
    remote = OpenAIServer(server.url)
    assert not remote.sees and OpenAIServer(server.url, images=True).sees
    remote.generate([to_prompt(look(cameras=("front", "wrist")), (), specs, remote.family, QWEN_PRESET)])
    words = server.requests[-1]["messages"][1]["content"]
    assert isinstance(words, str) and words.startswith("Task: put the red cube in the blue bowl\nHistory: none")


# --- what comes back


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_structured_calls_become_text_of_the_family(server, look, specs, family):
    remote = OpenAIServer(server.url, "qwen", family=family)
    text = remote.generate([to_prompt(look(), (), specs, remote.family, QWEN_PRESET)])[0].text
    assert ("<function=pick>" in text) == (family == "qwen3_5")
    call = parse(text, specs, remote.family, {"front": (480, 640)}).calls[0]
    assert (call.name, call.args["at"].label) == ("pick", "red cube")


@pytest.mark.parametrize(
    "answer",
    [
        called(),
        called(arguments=ARGUMENTS),
        called(reasoning_content="It is red."),
        called(content="I pick it."),
        said(reasoning_content=f"It is red.\n{CALL}"),
        said("\n", reasoning=f"It is red.\n{CALL}"),
        said(f"It is red.\n</think>\n\n{CALL}"),
        said(CALL),
        said([{"type": "text", "text": f'{{"name": "pick", "arguments": {json.dumps(ARGUMENTS)}}}'}]),
        said(
            f"<tool_call><function=pick><parameter=at>{json.dumps(ARGUMENTS['at'])}</parameter></function></tool_call>"
        ),
    ],
    ids=[
        "structured",
        "object",
        "reasoning",
        "content too",
        "reasoning that swallowed the call",
        "blank content",
        "thought without a parser",
        "text",
        "parts",
        "other dialect",
    ],
)
def test_every_way_of_answering_is_the_same_decision(server, ask, answer):
    server.answer = lambda request: answer
    assert ask().calls == (PICK,)


def test_reasoning_is_thought(server, ask):
    server.answer = lambda request: called(reasoning="It is red.")
    assert ask().thought == "It is red."


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(""), FormatError.EMPTY),
        (said(None), FormatError.EMPTY),
        (called(arguments='{"at": {"point_2d": [512, 4'), FormatError.BROKEN),
        (called(arguments="[]"), FormatError.BAD_ARGUMENT),
        (called(name="fly"), FormatError.UNKNOWN_SKILL),
        (said(reasoning_content="I shall pick it."), FormatError.NO_CALL),
        (said(refusal="I cannot help with that."), FormatError.NO_CALL),
    ],
)
def test_bad_answers_are_format_errors(server, ask, answer, error):
    server.answer = lambda request: answer
    assert ask().error is error


def test_an_answer_that_was_cut(server, ask):
    body = said("I think")
    body["choices"][0]["finish_reason"] = "length"
    server.answer = lambda request: Reply(body=body)
    assert ask().error is FormatError.TRUNCATED


# --- models and families


def test_an_unknown_model_lists_the_served_ones(server):
    with pytest.raises(ModelUnavailable, match=r"lists: qwen, Qwen/Qwen2.5-VL-7B-Instruct, mine.*does not exist"):
        OpenAIServer(server.url, "gpt")
    with pytest.raises(ModelUnavailable, match="Say which"):
        OpenAIServer(server.url)


def test_the_only_model_needs_no_name(server):
    server.models = Reply(body={"data": LISTED_MODELS[:1]})
    assert OpenAIServer(server.url).name == "qwen"


def test_a_server_without_a_listing(server, ask):
    server.models = Reply(404)
    assert ask().calls == (PICK,)


def test_where_the_family_is_known_from(server):
    def known(model, **options):
        facts = OpenAIServer(server.url, model, **options).describe()
        return facts["family"], facts["family_from"]

    assert known("qwen") == ("qwen3_vl", "the server's listing: Qwen/Qwen3-VL-2B-Instruct")
    assert known("Qwen/Qwen2.5-VL-7B-Instruct")[0] == "qwen2_5_vl"
    assert known("mine") == ("qwen3_vl", "assumed; say which with family=... if that is wrong")
    assert known("mine", family="qwen3_5") == ("qwen3_5", "given")
    with pytest.raises(UnknownName, match="qwen3_5"):
        known("mine", family="llama")


def test_a_call_as_the_protocol_had_it_before(server, ask):
    server.answer = lambda request: said(function_call={"name": "pick", "arguments": json.dumps(ARGUMENTS)})
    assert ask().calls == (PICK,)


def test_an_answer_takes_as_long_as_it_was_waited_for(server, look, specs):
    remote = OpenAIServer(server.url, "qwen")
    prompts = [to_prompt(look(f"task {n}"), (), specs, remote.family, QWEN_PRESET) for n in range(3)]
    server.answer = lambda request: Reply(body=called(), wait_s=0.6 if "task 1" in json.dumps(request) else 0.2)
    first, slow, last = (answer.seconds for answer in remote.generate(prompts))
    assert slow >= 0.6
    assert min(first, last) >= 0.2
    assert slow > max(first, last)
