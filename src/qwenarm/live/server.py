"""The web server of the live page: one port for the page, its files, its events and, passed on, the 3-D scene.

Only the loopback interface is served unless another host is asked for; then every request needs the token of the link.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import secrets
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from socket import gethostname
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from qwenarm.live.journal import read_asset, run_folder
from qwenarm.live.scene import SCENE_KEY_HEADER
from qwenarm.serve.access import LOOPBACK_HOSTS

ANY_HOST = ("0.0.0.0", "::", "")
MAX_REQUEST_BYTES = 1 << 20
"""Enough for half a minute of speech. A longer message closes the connection."""
MESSAGE_PERIOD_S = 0.02
"""Each page is heard this often at most; one that sends more is read more slowly, which costs nobody else anything."""
MAX_SOCKETS = 200
"""Connections of all pages together, two for each. More are turned away: each has buffers, and is told every event."""
TOKEN_COOKIE, VISITOR_COOKIE = "qwenarm_token", "qwenarm_visitor"
MEDIA_TYPES = {
    ".png": "image/png", ".mp4": "video/mp4", ".gif": "image/gif", ".html": "text/html; charset=utf-8",
    ".glb": "model/gltf-binary", ".wav": "audio/wav", ".zip": "application/zip",
}  # fmt: skip
RUN_FILE = re.compile(r"/runs/(\d{1,9})/(page\.html|film\.mp4|film\.gif|lerobot\.zip)")
RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
"""One range with a start: all that browsers ask for."""
SCENE_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "worker-src blob:; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
CAMERA_MESSAGE, DRAG_MESSAGE = "ViewerCameraMessage", "SceneNodeDragMessage"
"""All that passes from a browser to the viser server, which would also open a public tunnel for whoever asks."""


class Hub(Protocol):
    """What the pages talk to."""

    def enter(self, visitor: str) -> dict[str, Any]:
        """A page has been opened; returns all that it has to know."""
        ...

    def leave(self, visitor: str) -> None:
        """A page has been closed."""
        ...

    def receive(self, visitor: str, request: dict[str, Any]) -> str:
        """A page asks for something; returns why it cannot be done, or ""."""
        ...

    def hear(self, visitor: str, recording: bytes) -> str:
        """A page sends a recording; returns why it is not heard, or ""."""
        ...

    def drag(self, visitor: str) -> bool:
        """A page drags something in the scene; returns whether it may."""
        ...


class PageServer:
    """Serves the page.

    Args:
        hub: What the pages talk to.
        page: The page's HTML and its Content-Security-Policy.
        folder: The folder of the journal whose assets and finished runs are served.
        scene: The viser server: its port on the loopback interface, and the key that it asks for.
        host: The interface.
        port: 0 for any that is free.
    """

    def __init__(
        self,
        hub: Hub,
        page: tuple[str, str],
        folder: Path,
        scene: tuple[int, str],
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.hub, self.page, self.folder = hub, page, folder
        self.scene_port, self.scene_key = scene
        self.host, self.port = host, port
        self.token = "" if host in LOOPBACK_HOSTS else secrets.token_urlsafe(16)
        self._pages: dict[ServerConnection, str] = {}
        self._sockets = 0
        self._scene_page = files("viser").joinpath("client", "build", "index.html").read_bytes() + scene_style()

    async def start(self) -> Server:
        """Starts to listen. Raises OSError when the port is taken."""
        logger = logging.getLogger("qwenarm.live")
        logger.setLevel(logging.CRITICAL)  # closed tabs and refused requests are no news
        server = await serve(
            self._converse,
            self.host,
            self.port,
            process_request=self._answer,
            select_subprotocol=lambda _, offered: next(iter(offered), None),
            max_size=MAX_REQUEST_BYTES,
            logger=logger,
        )
        self.port = next(iter(server.sockets)).getsockname()[1]
        return server

    @property
    def link(self) -> str:
        """The address that visitors open."""
        host = gethostname() if self.host in ANY_HOST else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def send(self, event: dict[str, Any]) -> None:
        """Sends an event to all pages, without waiting for any."""
        broadcast(self._pages, json.dumps(event))

    def send_to(self, visitor: str, event: dict[str, Any]) -> None:
        """Sends an event to the pages of one visitor."""
        broadcast([page for page, whose in self._pages.items() if whose == visitor], json.dumps(event))

    def send_each(self, event_for: Any) -> None:
        """Sends each page what ``event_for(visitor)`` returns."""
        for page, visitor in list(self._pages.items()):
            broadcast([page], json.dumps(event_for(visitor)))

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers an HTTP request; None lets a WebSocket through."""
        try:
            return self._answer_sound(request)
        except (ValueError, LookupError):  # an address that is none, or a header that is given twice
            return _response(HTTPStatus.BAD_REQUEST, b"This is no request.", "text/plain")

    def _answer_sound(self, request: Request) -> Response | None:
        address = urlsplit(request.path)
        given = parse_qs(address.query).get("token", [""])[0]
        if not self._is_allowed(request, given):
            return _response(HTTPStatus.FORBIDDEN, b"This page needs the link with its token.", "text/plain")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            host, origin = request.headers.get("Host", ""), request.headers.get("Origin", "")
            same = urlsplit(origin).netloc == host
            if not same:
                return _response(HTTPStatus.FORBIDDEN, b"Another site may not ask.", "text/plain")
            if self._sockets >= MAX_SOCKETS:
                return _response(HTTPStatus.SERVICE_UNAVAILABLE, b"Too many pages are open.", "text/plain")
            return None
        if given and address.path == "/":
            return _response(HTTPStatus.SEE_OTHER, b"", "text/plain", Location="/", **_cookie(TOKEN_COOKIE, given))
        return self._file(address.path, request)

    def _is_allowed(self, request: Request, given: str) -> bool:
        """By the token; on the loopback interface by the name, which another site's page cannot forge."""
        if not self.token:
            return urlsplit(f"//{request.headers.get('Host', '')}").hostname in LOOPBACK_HOSTS
        kept = _cookies(request).get(TOKEN_COOKIE, "")
        offered = (each.encode(errors="surrogateescape") for each in (given, kept))
        return any(hmac.compare_digest(each, self.token.encode()) for each in offered)

    def _file(self, path: str, request: Request) -> Response:
        """The page, the page of the 3-D scene, an asset, or a file of a finished run: nothing else has an address."""
        if path == "/":
            html, policy = self.page
            known = {} if VISITOR_COOKIE in _cookies(request) else _cookie(VISITOR_COOKIE, secrets.token_urlsafe(12))
            return _response(
                HTTPStatus.OK, html.encode(), MEDIA_TYPES[".html"], Content_Security_Policy=policy, **known
            )
        if path == "/scene/":
            return _response(
                HTTPStatus.OK, self._scene_page, MEDIA_TYPES[".html"], Content_Security_Policy=SCENE_POLICY
            )
        if path.startswith("/assets/") and (data := read_asset(self.folder, path.removeprefix("/assets/"))):
            return _response(
                HTTPStatus.OK, data, MEDIA_TYPES[Path(path).suffix], Cache_Control="max-age=86400, immutable"
            )
        if found := RUN_FILE.fullmatch(path):
            file = run_folder(self.folder, int(found[1])) / found[2]
            if file.is_file():
                name = f'inline; filename="run-{found[1]}-{found[2]}"'
                range_header = request.headers.get("Range", "")
                return _ranged(file.read_bytes(), range_header, MEDIA_TYPES[file.suffix], Content_Disposition=name)
        return _response(HTTPStatus.NOT_FOUND, b"There is nothing here.", "text/plain")

    async def _converse(self, connection: ServerConnection) -> None:
        """Serves one WebSocket until it is closed."""
        assert connection.request is not None
        path, visitor = connection.request.path, _cookies(connection.request).get(VISITOR_COOKIE, "")
        self._sockets += 1
        try:
            if path == "/events" and visitor:
                await self._serve_page(connection, visitor)
            elif path == "/scene":
                await self._pass_on_scene(connection, visitor)
        except ConnectionClosed:
            pass
        finally:
            self._sockets -= 1

    async def _serve_page(self, connection: ServerConnection, visitor: str) -> None:
        await connection.send(json.dumps(self.hub.enter(visitor)))
        self._pages[connection] = visitor
        try:
            async for message in connection:
                if isinstance(message, bytes):
                    refusal = self.hub.hear(visitor, message)
                else:
                    refusal = self._receive(visitor, message)
                if refusal:
                    await connection.send(json.dumps({"kind": "refused", "run": 0, "text": refusal}))
                await asyncio.sleep(MESSAGE_PERIOD_S)
        finally:
            del self._pages[connection]
            self.hub.leave(visitor)

    def _receive(self, visitor: str, message: str) -> str:
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            return "This is no request."
        return self.hub.receive(visitor, request) if isinstance(request, dict) else "This is no request."

    async def _pass_on_scene(self, connection: ServerConnection, visitor: str) -> None:
        """Connects a browser's 3-D scene with the viser server. Only the visitor who plays may touch it."""
        protocols: Any = [connection.subprotocol] if connection.subprotocol else None
        address = f"ws://127.0.0.1:{self.scene_port}"
        key = {SCENE_KEY_HEADER: self.scene_key}
        async with connect(
            address, subprotocols=protocols, max_size=None, compression=None, additional_headers=key
        ) as viser:

            async def forth() -> None:
                async for message in connection:
                    await asyncio.sleep(0)  # a flood of what is dropped must not stop the others
                    kind = _message_type(message)
                    if kind == CAMERA_MESSAGE or (kind == DRAG_MESSAGE and self.hub.drag(visitor)):
                        await viser.send(message)

            async def back() -> None:
                async for message in viser:
                    await connection.send(message)

            tasks = [asyncio.ensure_future(forth()), asyncio.ensure_future(back())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def scene_style() -> bytes:
    """Hides viser's own panel: the page has its own."""
    return files("qwenarm.display").joinpath("templates", "scene.html").read_bytes()


def _message_type(message: str | bytes) -> str:
    """The type of a message of viser's client, "" for anything else."""
    try:
        return str(msgspec.msgpack.decode(message)["type"])  # type: ignore[arg-type]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError):
        return ""


def _cookies(request: Request) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in request.headers.get("Cookie", "").split(";"))
    return {name: value for name, _, value in parts}


def _cookie(name: str, value: str) -> dict[str, str]:
    """The header that makes a browser keep a value for this site alone, out of the reach of scripts."""
    return {"Set_Cookie": f"{name}={value}; HttpOnly; SameSite=Strict; Path=/"}


def _ranged(body: bytes, wanted: str, content_type: str, **headers: str) -> Response:
    """The part of a body that a Range header asks for, all of it without one: only so can a film be wound."""
    size, found = len(body), RANGE.fullmatch(wanted)
    if not found:
        return _response(HTTPStatus.OK, body, content_type, Accept_Ranges="bytes", **headers)
    start, end = int(found[1]), min(int(found[2] or size), size - 1)
    if start > end:
        return _response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", content_type, Content_Range=f"bytes */{size}")
    part, where = body[start : end + 1], f"bytes {start}-{end}/{size}"
    return _response(HTTPStatus.PARTIAL_CONTENT, part, content_type, Content_Range=where, **headers)


def _response(status: HTTPStatus, body: bytes, content_type: str, **headers: str) -> Response:
    """headers: with underscores for hyphens."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"Content-Type": content_type, "Content-Length": str(len(body)), "X-Content-Type-Options": "nosniff"}
    sent |= {"Referrer-Policy": "no-referrer", "Connection": "close"}
    return Response(status, status.phrase, Headers(sent), body)
