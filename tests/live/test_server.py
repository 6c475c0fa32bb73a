"""What the server gives away and lets through, without a browser."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
import zstandard
from tests.live.conftest import Served, serve
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from qwenarm.errors import QwenarmError
from qwenarm.live.journal import run_folder
from qwenarm.live.requests import Choices, checked_target
from qwenarm.live.scene import MAX_DRAG_M, SCENE_KEY_HEADER, LiveScene, under_pointer
from qwenarm.live.server import MESSAGE_PERIOD_S, PageServer

PLAY = {"do": "play", "task": "put", "level": 1, "arm": "panda", "policy": "oracle", "model": "bundled"}
PLAY |= {"altitude": "step", "seed": 3, "words": "", "perturbations": {}}


PATIENCE_S = 180
"""A busy machine may need a minute to load the model; only what never happens takes this long."""
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
        event = json.loads(socket.recv(timeout=PATIENCE_S))
        if event["kind"] == kind:
            return event


@pytest.mark.parametrize(
    "path",
    ["/../journal.jsonl", "/assets/../journal.jsonl", "/assets/..%2fjournal.jsonl", "/runs/1/episodes.jsonl",
     "/runs/../../page.html", "/etc/passwd", "//etc/passwd", "/runs/999/page.html"],
)  # fmt: skip
def test_nothing_but_the_page_has_an_address(served, path):
    assert get(served.link, path).status == 404


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=10-", 416, b""), ("lines=2-4", 200, b"0123456789")],
)
def test_a_film_can_be_wound(served, asked, status, told):
    film = run_folder(served.folder, 998) / "film.mp4"
    film.parent.mkdir(parents=True, exist_ok=True)
    film.write_bytes(b"0123456789")
    answer = get(served.link, "/runs/998/film.mp4", Range=asked)
    assert (answer.status, answer.read()) == (status, told)


def test_another_site_may_neither_read_nor_speak(served):
    assert get(served.link, "/", Host="evil.example").status == 403
    with pytest.raises(InvalidStatus), opened(served, origin="http://evil.example"):
        pass
    page = get(served.link, "/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


@pytest.mark.parametrize(
    "head", [b"GET //[ HTTP/1.1", b"GET / HTTP/1.1\r\nHost: [", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b"]
)
def test_what_is_no_request_is_told_so(served, head):
    address = urlsplit(served.link)
    own = b"" if b"Host" in head else f"\r\nHost: {address.netloc}".encode()
    with create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(head + own + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_nobody_reaches_the_scene_but_through_the_page(tmp_path):
    """Every web page of every browser on this machine may connect to the loopback interface."""
    scene = LiveScene(tmp_path, lambda name, by: None)

    def first_packet(headers: dict[str, str]) -> Any:
        options: Any = {"subprotocols": ["viser-v1.1.1"], "additional_headers": headers, "max_size": None}
        with connect(f"ws://127.0.0.1:{scene.port}", **options) as socket:
            return socket.recv(timeout=20)

    try:
        for headers in ({}, {SCENE_KEY_HEADER: "wrong"}):
            with pytest.raises(ConnectionClosed):
                first_packet(headers)
        assert first_packet({SCENE_KEY_HEADER: scene.key})
    finally:
        scene.close()


class CountingHub:
    """Counts what pages ask for."""

    def __init__(self) -> None:
        self.received = 0

    def enter(self, visitor: str) -> dict[str, Any]:
        return {"kind": "hello"}

    def leave(self, visitor: str) -> None:
        pass

    def receive(self, visitor: str, request: dict[str, Any]) -> str:
        self.received += 1
        return ""


def test_a_flood_is_read_slowly_and_too_many_pages_are_turned_away(tmp_path, monkeypatch):
    monkeypatch.setattr("qwenarm.live.server.MAX_SOCKETS", 3)
    hub: Any = CountingHub()

    async def flood() -> float:
        server = PageServer(hub, ("", ""), tmp_path, (1, ""))
        listening = await server.start()
        options: Any = {"origin": server.link.rstrip("/"), "additional_headers": {"Cookie": "qwenarm_visitor=me"}}
        address = f"ws://127.0.0.1:{server.port}/events"
        pages = [await connect_async(address, **options) for _ in range(3)]
        with pytest.raises(InvalidStatus):
            await connect_async(address, **options)
        await pages.pop().close()
        pages.append(await connect_async(address, **options))
        began = time.monotonic()
        for _ in range(300):
            await pages[0].send('{"do": "ask"}')
        while hub.received < 50:
            await asyncio.sleep(0.01)
        elapsed = time.monotonic() - began
        for page in pages:
            page.transport.abort()
        listening.close()
        return elapsed

    assert asyncio.run(flood()) > 49 * MESSAGE_PERIOD_S


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


def test_who_comes_while_a_file_is_made_is_told_so(served):
    with opened(served) as page:
        page.send(json.dumps({**PLAY, "policy": "idle"}))
        while not (stored := next_event(page, "gallery")).get("can_be_filmed"):
            pass
        page.send(json.dumps({"do": "export", "run": stored["run"], "format": "gif"}))
        assert next_event(page, "gallery")["making"] == ["gif"]
        with opened(served) as later:
            told = {each["run"]: each["making"] for each in next_event(later, "hello")["gallery"]}
        assert told[stored["run"]] == ["gif"]
        page.send(json.dumps({"do": "pass"}))


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
     {"do": "speed", "speed": 10**400}, {"do": "correct", "text": "\x00\ud800"}, {"do": "correct", "text": "x" * 10**6},
     {"do": "correct", "text": "\u200b\u202e"}, {"words": "\u200b"},
     {"perturbations": {"look": 9}}, {"perturbations": {"module:x": 1}}, {"perturbations": "look"}, {"altitude": None}],
)  # fmt: skip
def test_nothing_that_is_not_on_offer_reaches_the_player(wrong):
    choices = Choices.of(["bundled"])
    assert choices.command(PLAY)["config"]["task"] == "put"
    with pytest.raises(QwenarmError):
        choices.command({**PLAY, **wrong})


def test_what_no_file_can_hold_or_turns_a_text_is_no_part_of_an_instruction():
    said = Choices.of(["bundled"]).command(
        {"do": "correct", "text": "put\ud83d the\x1b[2J\n\u202ered\x00 cube \N{GRINNING FACE}"}
    )
    assert said["text"] == "put the [2J red cube \N{GRINNING FACE}"


@pytest.mark.parametrize("to", [(float("nan"), 0, 0), (float("inf"), 0, 0), (9, 0, 0)])
def test_what_is_dragged_stays_near(to):
    with pytest.raises(QwenarmError):
        checked_target(to)
    assert checked_target(None) is None and checked_target((0.1, 0, 0)) == (0.1, 0, 0)


@pytest.mark.parametrize("pointer", [(0.9, -0.5, 0.6), (0.9, -0.5, 0.9), (0.9, -0.5, 0.7)])
def test_what_is_dragged_stays_under_the_pointer_and_off_the_table(pointer):
    eye, height = np.array([1.2, -0.65, 0.7]), 0.08
    ray, target = np.subtract(pointer, eye), under_pointer(eye, pointer, height)
    assert np.cross(ray, target - eye) == pytest.approx(0, abs=1e-9)
    assert target[2] == pytest.approx(height if ray[2] < 0 else pointer[2])
    assert np.abs(under_pointer(eye, (0.9, -0.5, 0.6999), height)).max() <= MAX_DRAG_M, "a ray along the table"
