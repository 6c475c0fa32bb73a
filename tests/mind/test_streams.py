"""Answers that are told while a server sends them: the same answers, the same robustness, and no key in between."""

import gzip
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mind.fake_server import ARGUMENTS, Reply, called, said, streamed

from qwenarm.errors import ModelUnavailable, PromptFailed
from qwenarm.mind.backends import StreamingBackend, _chat
from qwenarm.mind.backends._http import MAX_RESPONSE_BYTES
from qwenarm.mind.backends._keys import before_secret
from qwenarm.mind.backends._stream import STREAM_PARAMETERS, AnswerStream
from qwenarm.mind.backends.openai_server import OpenAIServer
from qwenarm.mind.families import family_named
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import QWEN_PRESET
from qwenarm.types import Completion

KEY = "sk-0123456789abcdef"
PAUSE_S = 0.06
"""Longer than the time between two looks at an answer."""
ANSWERS = {
    "words": said("I pick the red cube. 看不见"),
    "call": called(),
    "call with words and thought": called(content="Now.", reasoning_content="It is red."),
    "other thought": said("Done.", reasoning="It is blue."),
    "refusal": said(None, refusal="I cannot help with that."),
    "cut": said("I think", "length"),
    "nothing": said(""),
}


@pytest.fixture
def remote(server) -> Callable[..., OpenAIServer]:
    def remote(**options: Any) -> OpenAIServer:
        return OpenAIServer(server.url, "qwen", **{"backoff_s": 0.01, "retries": 1, **options})

    return remote


@pytest.fixture
def listen(look, specs) -> Callable[..., tuple[Any, list[str]]]:
    """Asks a model while somebody listens: its completion or why there is none, and the texts that were told."""

    def listen(model: OpenAIServer, act: Callable[[str], None] = lambda text: None) -> tuple[Any, list[str]]:
        told: list[str] = []

        def hear(text: str) -> None:
            told.append(text)
            act(text)

        model.on_text = hear
        try:
            return model.generate([to_prompt(look(), (), specs, model.family, QWEN_PRESET)])[0], told
        finally:
            model.on_text = None

    return listen


def content_of(completion: Any) -> tuple[Any, ...]:
    assert isinstance(completion, Completion)
    return completion.text, completion.tokens_in, completion.tokens_out, completion.finish


@pytest.mark.parametrize("name", ANSWERS)
def test_a_streamed_answer_is_the_whole_one(server, remote, listen, look, specs, name):
    """Also where a server ignores the wish and sends it as a whole."""
    model = remote()
    assert isinstance(model, StreamingBackend)
    prompt = to_prompt(look(), (), specs, model.family, QWEN_PRESET)
    server.answer = lambda request: ANSWERS[name]
    whole = model.generate([prompt])[0]
    ignored, _ = listen(model)
    server.answer = lambda request: Reply(pieces=streamed(ANSWERS[name]))
    heard, _ = listen(model)
    assert content_of(heard) == content_of(ignored) == content_of(whole)
    plain, *streams = server.requests
    assert not plain.keys() & STREAM_PARAMETERS.keys()
    assert streams == [plain | STREAM_PARAMETERS] * 2
    for asked_together in model.generate([prompt] * 2):
        assert content_of(asked_together) == content_of(whole)
    assert server.requests[3:] == [plain] * 2, "nobody listens to many at once"


@settings(max_examples=40)
@given(st.sampled_from(list(ANSWERS)), st.integers(1, 9), st.data())
def test_it_does_not_matter_where_a_stream_is_cut(name, size, data):
    body = b"".join(streamed(ANSWERS[name], size))
    if data.draw(st.booleans()):
        body = b": keep-alive\r\n\r\nid: 1\r\nevent: message\r\n" + body.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    stream = AnswerStream()
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        stream.feed(body[start:end])
        stream.message()
    answer = json.loads(stream.answer() or b"")
    family = family_named("qwen3_vl")
    (choice,), (expected,) = answer["choices"], ANSWERS[name]["choices"]
    assert _chat.text(choice["message"], family) == _chat.text(expected["message"], family)
    assert (choice["finish_reason"], answer["usage"]) == (expected["finish_reason"], ANSWERS[name]["usage"])


def test_the_words_are_told_while_they_come(server, remote, listen):
    words = "I pick the red cube now."
    server.answer = lambda request: Reply(pieces=streamed(said(words), 6), pause_s=PAUSE_S)
    completion, told = listen(remote())
    assert completion.text == words
    assert len(set(told)) >= 4 and told[0] == ""
    assert all(words.startswith(text) for text in told) and sorted(told, key=len) == told


def test_a_thought_and_a_call_are_told_as_the_model_writes_them(server, remote, listen):
    server.answer = lambda request: Reply(pieces=streamed(called(reasoning_content="It is red."), 9), pause_s=PAUSE_S)
    completion, told = listen(remote())
    assert "<think>\nIt is red" in told
    assert any("</think>\n\n<tool_call>" in text and '"label": "re' in text for text in told)
    assert completion.text.startswith("<think>\nIt is red.\n</think>")


def pieces(*events: Any) -> Reply:
    return Reply(
        pieces=[
            b"data: " + (each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n\n" for each in events
        ]
    )


def delta(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": message}]}


CALL_DIALECTS = {
    "no index": [
        delta(tool_calls=[{"id": "a", "function": {"name": "pick", "arguments": '{"at": '}}]),
        delta(tool_calls=[{"function": {"arguments": json.dumps(ARGUMENTS["at"]) + "}"}}]),
    ],
    "name in every piece": [
        delta(tool_calls=[{"index": 0, "function": {"name": "pick", "arguments": '{"at": '}}]),
        delta(tool_calls=[{"index": 0, "function": {"name": "pick", "arguments": json.dumps(ARGUMENTS["at"]) + "}"}}]),
    ],
    "arguments as an object": [delta(tool_calls=[{"index": 0, "function": {"name": "pick", "arguments": ARGUMENTS}}])],
    "an older version": [
        delta(function_call={"name": "pick"}),
        delta(function_call={"arguments": json.dumps(ARGUMENTS)}),
    ],
    "a whole message": [{"choices": [{"message": called()["choices"][0]["message"]}]}],
    "another choice, too": [
        {"choices": [{"index": 1, "delta": {"content": "no"}}, *delta(**called()["choices"][0]["message"])["choices"]]}
    ],
}


@pytest.mark.parametrize("name", CALL_DIALECTS)
def test_every_way_of_streaming_a_call_is_the_same_call(server, remote, listen, name):
    model = remote()
    server.answer = lambda request: called()
    expected, _ = listen(model)
    server.answer = lambda request: pieces(*CALL_DIALECTS[name], b"[DONE]")
    assert listen(model)[0].text == expected.text


def test_two_calls_stay_two(server, remote, listen):
    both = called()
    both["choices"][0]["message"]["tool_calls"] *= 2
    server.answer = lambda request: both
    model = remote()
    expected, _ = listen(model)
    server.answer = lambda request: Reply(pieces=streamed(both))
    assert listen(model)[0].text == expected.text and expected.text.count("pick") == 2


# --- servers that cannot


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(400, {"error": "unknown field stream_options"}),
        Reply(404, "no such stream"),
        Reply(500, {"error": {"message": "streaming is not supported"}}),
        pieces({"error": {"message": "no streaming", "code": 400}}),
        pieces(b"half a {"),
        pieces(b"[DONE]"),
    ],
)
def test_a_server_that_cannot_stream_is_asked_for_whole_answers_from_then_on(server, remote, listen, refusal):
    server.answer = lambda request: refusal if "stream" in request else called()
    model = remote()
    for _ in range(2):
        completion, told = listen(model)
        assert "pick" in completion.text and not any(told)
    assert "stream" not in server.requests[-1] and "stream" not in server.requests[-2]


def test_a_server_that_refuses_more_than_streams_is_still_asked_in_simpler_forms(server, remote, listen):
    def answer(request):
        odd = request.keys() & {"stream", "top_k"}
        return Reply(422, {"error": f"unknown field {min(odd)}"}) if odd else called()

    server.answer = answer
    assert "pick" in listen(remote())[0].text


# --- servers that do harm

UNREADABLE = ("[" * 100_000).encode()
BAD_ENDS = {
    "an error": ([{"error": {"message": "out of memory", "code": 507}}], "status 507: out of memory"),
    "an error of a choice": ([{"choices": [{"error": {"message": "too hot"}}]}], "too hot"),
    "no JSON": ([b"{"], "does not speak the OpenAI protocol"),
    "nested JSON": ([UNREADABLE], "does not speak the OpenAI protocol"),
    "no object": ([[]], "does not speak the OpenAI protocol"),
    "odd choices": ([{"choices": [7]}], "OpenAI protocol"),
    "odd text": ([delta(content={"a": 1})], "OpenAI protocol"),
    "odd call": ([delta(tool_calls=[{"index": [], "function": {}}])], "OpenAI protocol"),
    "endless": ([delta(content="x" * MAX_RESPONSE_BYTES)], "more than 4 MB"),
    "odd usage": ([{"choices": [], "usage": {"prompt_tokens": -5}}, b"[DONE]"], "breaks the OpenAI protocol"),
    "an end in the middle": ([], "ended in the middle"),
}


@pytest.mark.parametrize("name", BAD_ENDS)
def test_a_bad_end_costs_one_prompt(server, remote, listen, name):
    """After words that were good: what was told is no answer."""
    events, words = BAD_ENDS[name]
    model = remote(retries=0)
    server.answer = lambda request: Reply(pieces=streamed(said("I pick")))
    listen(model)
    server.answer = lambda request: pieces(delta(content="I "), *events)
    failed, _ = listen(model)
    assert isinstance(failed, PromptFailed) and words in str(failed) and len(str(failed)) < 600
    server.answer = lambda request: Reply(pieces=streamed(said("I pick")))
    assert listen(model)[0].text == "I pick"


def test_a_bomb_in_a_stream_is_broken_off(server, remote, listen):
    bomb = gzip.compress(b"data: " + b" " * 50_000_000)
    model = remote(retries=0)
    server.answer = lambda request: Reply(pieces=streamed(said("I pick")))
    listen(model)
    zipped = {"Content-Encoding": "gzip"}
    server.answer = lambda request: Reply(pieces=[bomb[:100], bomb[100:]], headers=zipped)
    assert "more than 4 MB" in str(listen(model)[0])
    whole = gzip.compress(b"".join(streamed(called())))
    server.answer = lambda request: Reply(pieces=[whole[:40], whole[40:]], headers=zipped)
    assert "pick" in listen(model)[0].text


def test_a_line_without_an_end_takes_time_in_proportion_to_its_length():
    began, stream = time.process_time(), AnswerStream()
    for _ in range(40_000):
        stream.feed(b"x" * 100)
    assert stream.answer() is None
    assert time.process_time() - began < 2


def test_a_stream_that_does_not_end_is_broken_off_in_time_and_not_repeated(server, remote, listen):
    model = remote(timeout_s=0.3)
    server.answer = lambda request: Reply(pieces=[b": wait\n\n"] * 100, pause_s=0.1)
    with pytest.raises(ModelUnavailable, match=r"within 0\.3 s"):
        listen(model)
    assert len(server.requests) == 1


def test_a_broken_stream_is_repeated_and_its_words_start_anew(server, remote, listen):
    halves = iter([Reply(pieces=streamed(said("I push it."))[:3], pause_s=PAUSE_S, whole=False)])
    good = Reply(pieces=streamed(said("I pick it.")), pause_s=PAUSE_S)
    server.answer = lambda request: next(halves, good)
    completion, told = listen(remote())
    assert completion.text == "I pick it." and {"I pu", "I pi"} <= set(told)


class Stopped(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("spoken", ["", "I pi"], ids=["before the first word", "in the middle"])
def test_what_the_listener_raises_ends_the_request_at_once(server, remote, listen, spoken):
    """A KeyboardInterrupt as of Stop, in the thread that asks; the server sees that the client is gone."""
    model, threads = remote(), []
    server.answer = lambda request: Reply(
        pieces=streamed(said("I pick it.")), pause_s=0.1, wait_s=0.0 if spoken else 30.0
    )

    def act(text: str) -> None:
        threads.append(threading.current_thread())
        if text == spoken:
            raise Stopped

    began = time.monotonic()
    with pytest.raises(Stopped):
        listen(model, act)
    while not server.left and time.monotonic() < began + 10:
        time.sleep(0.01)
    assert server.left and set(threads) == {threading.main_thread()}
    server.answer = lambda request: Reply(pieces=streamed(said("I pick it.")))
    assert listen(model)[0].text == "I pick it.", "the thread of requests lives"


# --- keys


def test_a_key_is_not_told_even_in_pieces(server, remote, listen):
    words = f"My key is {KEY}, and I pick."
    for size in (1, 5, 1000):
        server.answer = lambda request, size=size: Reply(pieces=streamed(said(words), size), pause_s=PAUSE_S / 2)
        completion, told = listen(remote(api_key=KEY))
        assert completion.text == "My key is [key removed], and I pick."
        assert not any(KEY[:2] in text for text in told), told


@given(st.text("ab", min_size=1, max_size=5), st.text("abc", max_size=12))
def test_what_may_become_a_secret_waits(secret, text):
    before = before_secret(text, secret)
    assert text.startswith(before)
    held = text[len(before) :]
    assert held == "" or (secret.startswith(held) and held != secret)
    longer = [text[-n:] for n in range(len(held) + 1, len(secret)) if n <= len(text)]
    assert not any(secret.startswith(end) for end in longer)
