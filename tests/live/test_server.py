"""What the server gives away and lets through, without a browser."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import zstandard
from tests.live.conftest import Served, serve
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from qwenarm.errors import QwenarmError
from qwenarm.live.requests import Choices, checked_pull

PLAY = {"do": "play", "task": "put", "level": 1, "arm": "panda", "policy": "oracle", "model": "bundled"}
PLAY |= {"altitude": "step", "seed": 3, "words": "", "perturbations": {}}


CAMERA = {"type": "ViewerCameraMessage", "wxyz": (1.0, 0.0, 0.0, 0.0), "position": (1.2, -0.6, 0.7), "fov": 1.0}
CAMERA |= {"near": 0.1, "far": 9.0, "image_height": 480, "image_width": 640, "look_at": (0.3, 0.0, 0.1)}
CAMERA |= {"up_direction": (0.0, 0.0, 1.0)}
"""What a browser tells of its view."""


def get(link: str, path: str, **headers: str) -> HTTPResponse:
    connection = HTTPConnection(urlsplit(link).netloc, timeout=20)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


@contextmanager
def opened(served: Served, path: str = "/events", **options: Any) -> Iterator[ClientConnection]:
    """A WebSocket of a new visitor."""
    cookie = str(get(served.link, "/").headers["Set-Cookie"]).split(";")[0]
    address, origin = served.link.replace("http", "ws").rstrip("/") + path, served.link.rstrip("/")
    options = {"origin": origin, "additional_headers": {"Cookie": cookie}, **options}
    with connect(address, max_size=None, **options) as socket:
        yield socket


def next_event(socket: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        event = json.loads(socket.recv(timeout=60))
        if event["kind"] == kind:
            return event


@pytest.mark.parametrize(
    "path",
    ["/../journal.jsonl", "/assets/../journal.jsonl", "/assets/..%2fjournal.jsonl", "/runs/1/episodes.jsonl",
     "/runs/../../page.html", "/etc/passwd", "//etc/passwd", "/runs/999/page.html"],
)  # fmt: skip
def test_nothing_but_the_page_has_an_address(served, path):
    assert get(served.link, path).status == 404


def test_another_site_may_neither_read_nor_speak(served):
    assert get(served.link, "/", Host="evil.example").status == 403
    with pytest.raises(InvalidStatus), opened(served, origin="http://evil.example"):
        pass
    page = get(served.link, "/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


def test_a_run_streams_poses_to_the_scene_and_events_to_the_page(served):
    with opened(served) as page, opened(served, "/scene", subprotocols=["viser-v1.1.1"]) as scene:
        hello = next_event(page, "hello")
        assert hello["choices"]["levels"]["put"] >= 3
        if not hello["ready"]:
            next_event(page, "ready")
        scene.send(msgspec.msgpack.encode(CAMERA))
        page.send(json.dumps({"do": "speed", "speed": 4}))
        page.send(json.dumps({"do": "follow", "on": True}))
        page.send(json.dumps(PLAY))
        assert next_event(page, "finished")["success"]
        page.send(json.dumps({"do": "follow", "on": False}))
        page.send(json.dumps({"do": "pass"}))
        kinds = [kind for message in drained(scene) for kind in types(message)]
    assert kinds.count("GlbMessage") > 10 and kinds.count("SetPositionMessage") > 200
    assert kinds.count("SetCameraLookAtMessage") > 10  # the camera rides beside the gripper


def drained(scene: ClientConnection) -> Iterator[bytes]:
    while True:
        try:
            yield bytes(scene.recv(timeout=0.5))
        except TimeoutError:
            return


def types(message: bytes) -> list[str]:
    """The types of the messages in one packet of viser."""
    size, packed = (int.from_bytes(message[i : i + 8], "little") for i in (0, 8))
    unpacked = zstandard.decompress(message[16 : 16 + packed], max_output_size=size)
    return [each["type"] for each in msgspec.msgpack.decode(unpacked)["messages"]]


def test_only_who_plays_reaches_the_player(served):
    with opened(served) as player, opened(served) as watcher:
        player.send(json.dumps({"do": "speed", "speed": 4}))
        next_event(player, "pace")
        watcher.send(json.dumps({"do": "stop"}))
        assert "somebody else's turn" in next_event(watcher, "refused")["text"]
        for nonsense in (
            "[]",
            "{",
            '{"do": "replay", "index": "../x"}',
            '{"do": "export", "run": 10000}',
            '{"do": []}',
        ):
            player.send(nonsense)
            assert next_event(player, "refused")["text"]
        watcher.send(b"a recording")
        assert "somebody else's turn" in next_event(watcher, "refused")["text"]
        player.send(b"no recording")
        assert "not a WAV file" in next_event(player, "refused")["text"]
        player.send(json.dumps({"do": "pass"}))


def test_other_hosts_need_the_token(tmp_path):
    process, page = serve(tmp_path / "session", "--host", "0.0.0.0")
    try:
        link = urlsplit(page.link)
        local, token = f"http://127.0.0.1:{link.port}/", link.query
        assert len(token) > 20 and get(local, "/").status == 403 and get(local, "/?token=wrong").status == 403
        welcome = get(local, f"/?{token}")
        assert welcome.status == 303 and welcome.headers["Location"] == "/"
        kept = str(welcome.headers["Set-Cookie"]).split(";")[0]
        assert get(local, "/", Cookie=kept).status == 200
        with pytest.raises(InvalidStatus), opened(Served(local, page.folder), additional_headers={}):
            pass
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize(
    "wrong",
    [{"task": "os:system"}, {"arm": "menagerie:x"}, {"policy": "module:NAME"}, {"model": "./folder"}, {"level": 99},
     {"model": "http://localhost"}, {"seed": -1}, {"seed": True}, {"words": "x" * 1000}, {"words": 3}, {"level": "1"},
     {"perturbations": {"look": 9}}, {"perturbations": {"module:x": 1}}, {"perturbations": "look"}, {"altitude": None}],
)  # fmt: skip
def test_nothing_that_is_not_on_offer_reaches_the_player(wrong):
    choices = Choices.of(["bundled"])
    assert choices.command(PLAY)["config"]["task"] == "put"
    with pytest.raises(QwenarmError):
        choices.command({**PLAY, **wrong})


@pytest.mark.parametrize("by", [(float("nan"), 0, 0), (float("inf"), 0, 0), (9, 0, 0)])
def test_a_pull_is_finite(by):
    with pytest.raises(QwenarmError):
        checked_pull(by)
    assert checked_pull(None) is None and checked_pull((0.1, 0, 0)) == (0.1, 0, 0)
