"""The OpenAI protocol, against a server in this process."""

import base64
import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qwenarm.errors import ModelUnavailable, UnknownName
from qwenarm.mind.backends.remote import Remote
from qwenarm.mind.language import frame_sizes, parse, to_prompt
from qwenarm.mind.presets import QWEN
from qwenarm.types import FormatError, ImagePoint, SkillCall

ARGUMENTS = {"at": {"label": "red cube", "point_2d": [512, 430]}}
PICK = SkillCall("pick", {"at": ImagePoint(0.512, 0.43, "red cube")})
SERVED = [{"id": "qwen", "root": "Qwen/Qwen3-VL-2B-Instruct"}, {"id": "Qwen/Qwen2.5-VL-7B-Instruct"}, {"id": "mine"}]


def said(content=None, **message):
    return {
        "choices": [{"message": {"content": content, **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def called(name="pick", arguments: Any = None, **message):
    arguments = json.dumps(ARGUMENTS) if arguments is None else arguments
    return said(
        tool_calls=[{"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}], **message
    )


class Server:
    """A server whose answers are (status, body) of a function of the request; it keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], tuple[int, Any]] = lambda request: (200, called())
        self.models: tuple[int, Any] = (200, {"data": SERVED})
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.headers.append(dict(self.headers))
                self.reply(*outer.models)

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                self.reply(*outer.answer(request))

            def reply(self, status: int, body: Any) -> None:
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def ask(server, look, specs):
    """Opens the model, asks it once, and gives the Decision."""

    def ask(model="qwen", **options):
        remote = Remote(server.url, model, backoff_s=0.01, **options)
        observation = look()
        completion = remote.generate([to_prompt(observation, (), specs, remote.family, QWEN)])[0]
        return parse(completion.text, specs, remote.family, frame_sizes(observation, QWEN), finish=completion.finish)

    return ask


# --- what is sent


def test_the_request(server, look, specs):
    remote = Remote(server.url + "/", "qwen", api_key="secret")
    observation = look()
    prompt = to_prompt(observation, (), specs, remote.family, QWEN)
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


def test_no_key_no_header(server, monkeypatch):
    monkeypatch.delenv("QWENARM_API_KEY", raising=False)
    Remote(server.url, "qwen")
    assert "Authorization" not in server.headers[0]


def test_a_batch_keeps_its_order(server, look, specs):
    server.answer = lambda request: (200, said(request["messages"][1]["content"][-1]["text"].splitlines()[1]))
    remote = Remote(server.url, "qwen", concurrency=4)
    prompts = [to_prompt(look(f"task {n}"), (), specs, remote.family, QWEN) for n in range(12)]
    assert [completion.text for completion in remote.generate(prompts)] == [f"Task: task {n}" for n in range(12)]
    assert remote.generate([]) == []


def test_thinking_is_switched_where_there_is_a_switch(server, ask):
    ask(family="qwen3_5", thinking=True)
    ask()
    assert server.requests[0]["chat_template_kwargs"] == {"enable_thinking": True}
    assert "chat_template_kwargs" not in server.requests[1]


# --- what comes back


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_structured_calls_become_text_of_the_family(server, look, specs, family):
    remote = Remote(server.url, "qwen", family=family)
    text = remote.generate([to_prompt(look(), (), specs, remote.family, QWEN)])[0].text
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
        said(f'<tool_call>\n{{"name": "pick", "arguments": {json.dumps(ARGUMENTS)}}}\n</tool_call>'),
        said([{"type": "text", "text": f'{{"name": "pick", "arguments": {json.dumps(ARGUMENTS)}}}'}]),
        said(
            f"<tool_call><function=pick><parameter=at>{json.dumps(ARGUMENTS['at'])}</parameter></function></tool_call>"
        ),
    ],
    ids=["structured", "object", "reasoning", "content too", "text", "parts", "other dialect"],
)
def test_every_way_of_answering_is_the_same_decision(server, ask, answer):
    server.answer = lambda request: (200, answer)
    assert ask().calls == (PICK,)


def test_reasoning_is_thought(server, ask):
    server.answer = lambda request: (200, called(reasoning="It is red."))
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
    ],
)
def test_bad_answers_are_format_errors(server, ask, answer, error):
    server.answer = lambda request: (200, answer)
    assert ask().error is error


def test_an_answer_that_was_cut(server, ask):
    body = said("I think")
    body["choices"][0]["finish_reason"] = "length"
    server.answer = lambda request: (200, body)
    assert ask().error is FormatError.TRUNCATED


# --- trouble


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, ask, status):
    answers = iter([(status, "busy"), (status, {"error": {"message": "busy"}}), (200, called())])
    server.answer = lambda request: next(answers)
    assert ask().calls == (PICK,)
    assert len(server.requests) == 3


def test_a_server_that_stays_busy(server, ask):
    server.answer = lambda request: (503, {"error": {"message": "out of memory"}})
    with pytest.raises(ModelUnavailable, match="503: out of memory"):
        ask(retries=2)
    assert len(server.requests) == 3


def test_a_server_that_is_slow(server, ask):
    release = threading.Event()
    server.answer = lambda request: (release.wait(5), (200, called()))[1]
    with pytest.raises(ModelUnavailable, match="Is the server running"):
        ask(timeout_s=0.1, retries=1)
    release.set()


def test_a_refusal_is_not_repeated(server, ask):
    server.answer = lambda request: (401, {"error": {"message": "bad key"}})
    with pytest.raises(ModelUnavailable, match="401: bad key"):
        ask()
    assert len(server.requests) == 1


def test_a_server_that_takes_no_tools_gets_them_as_text(server, look, specs):
    server.answer = lambda request: (400, {"error": "no tools"}) if "tools" in request else (200, called())
    remote = Remote(server.url, "qwen")
    prompt = to_prompt(look(), (), specs, remote.family, QWEN)
    assert "pick" in remote.generate([prompt])[0].text
    assert '"name": "pick"' in server.requests[1]["messages"][0]["content"]
    assert remote.describe()["tools"] == "text"
    remote.generate([prompt])
    assert len(server.requests) == 3  # what was learned is kept


def test_a_server_that_is_down():
    with pytest.raises(ModelUnavailable, match="Is the server running"):
        Remote("http://127.0.0.1:9", "qwen", backoff_s=0.01)


@pytest.mark.parametrize("url", ["http://", "http://[", "http://bad host"])
def test_a_bad_url(url):
    with pytest.raises(ModelUnavailable):
        Remote(url, "qwen", backoff_s=0.01)


@pytest.mark.parametrize("body", ["hello", "[]", '{"data": 3}', '{"data": [3]}'])
def test_something_else_behind_the_url(server, body):
    server.models = (200, body)
    with pytest.raises(ModelUnavailable):
        Remote(server.url, "qwen")


@pytest.mark.parametrize("body", ["hello", {}, {"choices": []}, {"choices": [3]}, {"choices": None}])
def test_odd_answers_are_told(server, ask, body):
    server.answer = lambda request: (200, body)
    with pytest.raises(ModelUnavailable, match=server.url):
        ask()


def test_an_answer_without_a_message_is_empty(server, ask):
    server.answer = lambda request: (200, {"choices": [{}]})
    assert ask().error is FormatError.EMPTY


# --- models and families


def test_an_unknown_model_lists_the_served_ones(server):
    with pytest.raises(ModelUnavailable, match=r"serves: qwen, Qwen/Qwen2.5-VL-7B-Instruct, mine"):
        Remote(server.url, "gpt")
    with pytest.raises(ModelUnavailable, match="Say which"):
        Remote(server.url)


def test_the_only_model_needs_no_name(server):
    server.models = (200, {"data": SERVED[:1]})
    assert Remote(server.url).name == "qwen"


def test_a_server_without_a_listing(server, ask):
    server.models = (404, "")
    assert ask().calls == (PICK,)


def test_where_the_family_is_known_from(server):
    def known(model, **options):
        facts = Remote(server.url, model, **options).describe()
        return facts["family"], facts["family_from"]

    assert known("qwen") == ("qwen3_vl", "the server's listing: Qwen/Qwen3-VL-2B-Instruct")
    assert known("Qwen/Qwen2.5-VL-7B-Instruct")[0] == "qwen2_5_vl"
    assert known("mine") == ("qwen3_vl", "assumed; give the family if the model is of another")
    assert known("mine", family="qwen3_5") == ("qwen3_5", "given")
    with pytest.raises(UnknownName, match="qwen3_5"):
        known("mine", family="llama")
