"""Sends many requests to a server at once, retries while it is busy, and never waits forever."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import re
import threading
import time
import urllib.request
import zlib
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from qwenarm.errors import ModelUnavailable, PromptFailed
from qwenarm.mind.backends._keys import authorization, secret_patterns

T = TypeVar("T")

DOWN_STATUSES = frozenset({429, 502, 503, 504, *range(520, 525), 529})
"""Status codes of a server that is down for now, for every request (those above 511 are used by proxies)."""
RETRIED_STATUSES = DOWN_STATUSES | {408, 409, 425, 500}
REFUSAL_STATUSES = frozenset({400, 422, 501})
"""How a server answers a request that it is not set up for."""
CONNECT_TIMEOUT_S = 10.0
MAX_RESPONSE_BYTES = 4_000_000
"""A longer response is broken off, also one that is longer only after inflation."""
COMPRESSED_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
"""Content codings that are read although none was asked for."""
ZLIB_AUTO_DETECT_WBITS = 47
"""Tells zlib to recognise gzip and zlib headers by itself."""
REDACTED_KEY = b"[key removed]"
HIDDEN_TAGS = ("script", "style", "head")
"""Their content is not shown."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on the event loop of a thread of its own, so that it can be called from anywhere, also from a
    notebook, which already runs a loop. Ctrl-C cancels it and every open request at once.
    """
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="qwenarm-requests", daemon=True).start()
    return loop


class Connection:
    """One server and a pool of connections to it.

    Args:
        url: the server's base.
        key: sent with every request; may be empty.
        timeout_s: for one answer.
        deadline_s: for a request in all, with retries and the pauses between them.
        retries: how often a request is repeated if the server is busy or the connection breaks. One that took too long
            is not repeated: that would only add to the server's load.
        backoff_s: the first pause, which doubles each time, unless the server asks for another in Retry-After.
        concurrency: maximum number of open requests.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float,
        deadline_s: float,
        retries: int,
        backoff_s: float,
        concurrency: int,
    ) -> None:
        self.url, self.timeout_s, self.deadline_s = url, timeout_s, deadline_s
        self.retries, self.backoff_s = retries, backoff_s
        self._secrets = list(secret_patterns(key))
        self._slots = asyncio.Semaphore(concurrency)
        try:
            self._client = httpx.AsyncClient(
                headers={"Accept-Encoding": "identity", **authorization(key)},
                timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
                # reading all certificates is slow, and plain http needs none
                verify=httpx.create_ssl_context() if url.startswith("https") else False,
                proxy=proxy_for(url),
                trust_env=False,  # httpx reads proxies from there for this machine, too, and fails at IPv6 in NO_PROXY
                limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            )
        except (ImportError, OSError, ValueError) as error:  # from a proxy or certificates named in the environment
            raise ModelUnavailable(f"No connection to {url} can be made: {_reason(error)}.") from error

    async def send(self, method: str, url: str, body: Any = None, retries: int | None = None) -> httpx.Response:
        """The server's response, whatever its status, without the key should it repeat that. The deadline starts when
        a connection is free.

        Raises:
            ModelUnavailable: the server cannot be reached.
            PromptFailed: it takes too long, the response is too long, or the connection breaks.
        """
        async with self._slots:
            ends, attempt = time.monotonic() + self.deadline_s, 0
            last = self.retries if retries is None else retries
            while True:
                found = await self._once(method, url, body, ends - time.monotonic())
                pause = self._pause(attempt, found)
                if attempt >= last or pause is None or time.monotonic() + pause > ends:
                    break
                await asyncio.sleep(pause)
                attempt += 1
        if isinstance(found, httpx.Response):
            return found
        raise found

    async def _once(
        self, method: str, url: str, body: Any, left_s: float
    ) -> httpx.Response | ModelUnavailable | PromptFailed:
        """One attempt. Errors that may pass are returned, so that the caller can try again."""
        limit = min(self.timeout_s, left_s)
        try:
            async with asyncio.timeout(limit):
                return await self._exchange(method, url, body)
        except TimeoutError as error:
            raise PromptFailed(f"{self.url} did not answer within {limit:.3g} s.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, OverflowError, UnicodeError) as error:
            raise ModelUnavailable(f"{self.url!r} is not a valid URL: {error}.") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return ModelUnavailable(f"No answer from {self.url}: {_reason(error)}. Is the server running?")
        except httpx.RequestError as error:
            return PromptFailed(f"{self.url} broke the connection: {_reason(error)}.")

    async def _exchange(self, method: str, url: str, body: Any) -> httpx.Response:
        """The whole response to one request, decoded and without the key. Raises PromptFailed if it is too long."""
        async with self._client.stream(method, url, json=body) as response:
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_RESPONSE_BYTES:
                    break
            coding = response.headers.get("Content-Encoding", "identity").strip().lower()
            plain = self._without_key(self._inflated(bytes(content), coding))
            told = {name: response.headers[name] for name in ("Retry-After", "Location") if name in response.headers}
            headers = [(name.encode(), self._without_key(value.encode())) for name, value in told.items()]
            return _unwrapped(httpx.Response(response.status_code, headers=headers, content=plain))

    def _inflated(self, content: bytes, coding: str) -> bytes:
        """The content without its coding. Raises PromptFailed if it cannot be undone, or if the result is too long."""
        if coding in COMPRESSED_CODINGS:
            try:
                content = zlib.decompressobj(ZLIB_AUTO_DETECT_WBITS).decompress(content, MAX_RESPONSE_BYTES + 1)
            except zlib.error as error:
                raise PromptFailed(f"{self.url} sent a compressed answer that cannot be read: {error}.") from error
        elif coding != "identity":
            raise PromptFailed(f"{self.url} compressed its answer as {coding[:40]!r}, which was not asked for.")
        if len(content) > MAX_RESPONSE_BYTES:
            raise PromptFailed(f"{self.url} sent an answer of more than {MAX_RESPONSE_BYTES / 1e6:g} MB.")
        return content

    def _without_key(self, content: bytes) -> bytes:
        for pattern in self._secrets:
            content = pattern.sub(REDACTED_KEY, content)
        return content

    def _pause(self, attempt: int, found: httpx.Response | Exception) -> float | None:
        """Seconds to wait before the next attempt, jittered so that a batch spreads out; None if none would help."""
        asked = None
        if isinstance(found, httpx.Response):
            if found.status_code not in RETRIED_STATUSES or refuses(found):
                return None
            asked = _asked_pause(found.headers.get("Retry-After", ""))
        return (self.backoff_s * 2**attempt if asked is None else asked) * random.uniform(1.0, 1.25)


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a server; None for one on this machine, whatever is named."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_this_machine(host) or any(urllib.request.proxy_bypass(name) for name in (parts.netloc, host)):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _is_this_machine(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def refuses(response: httpx.Response) -> bool:
    """Whether a server says that it does not take such a request, which may help to be asked in another form.

    Some say so with the status of an error of their own (llama.cpp without --jinja: 500) or of a model that does not
    exist (OpenRouter: 404).
    """
    if response.status_code in REFUSAL_STATUSES:
        return True
    return (
        response.status_code in (404, 500) and re.search(r"\btools?\b", complaint(response)[:300].lower()) is not None
    )


def _unwrapped(response: httpx.Response) -> httpx.Response:
    """The response, with the status of the error that it holds: gateways send errors with status 200."""
    try:
        content = parsed_json(response) if response.is_success else None
    except ValueError:
        return response
    if not isinstance(content, Mapping) or not (error := _held_error(content)):
        return response
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    number = int(str(code)) if str(code).isdecimal() else 0
    status = number if 400 <= number < 600 else 500
    return httpx.Response(status, headers=response.headers, content=json.dumps({"error": error}))


def _held_error(content: Mapping[str, Any]) -> Any:
    if content.get("object") == "error":
        return content
    choices = content.get("choices")
    if isinstance(choices, list) and choices:
        return choices[0].get("error") if isinstance(choices[0], Mapping) else None
    return content.get("error")


def _asked_pause(value: str) -> float | None:
    """Retry-After in seconds: a number or a date (RFC 9110); None for anything else."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(value)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return max(0.0, (then - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):  # such as a year beyond 9999
        return None


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def parsed_json(response: httpx.Response) -> Any:
    """The content of a response. Raises ValueError for whatever is no JSON that can be read, deep nesting included."""
    try:
        return json.loads(response.content)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def complaint(response: httpx.Response) -> str:
    """The error message in a server's response, on one line: from JSON in any of the usual forms, or from HTML."""
    try:
        content = parsed_json(response)
        for key in ("error", "detail", "message"):
            content = content.get(key, content) if isinstance(content, Mapping) else content
        text = str(content)
    except (ValueError, RecursionError):
        text = _visible_text(response.content.decode("utf-8", "replace"))
    return " ".join(text.split())[:300] or "no reason given"


def _visible_text(page: str) -> str:
    """What a reader of an HTML page sees. Takes time in proportion to its length, whatever the page is."""
    text, *tags = page.split("<")
    shown, hidden = [text], ""
    for tag in tags:
        inside, _, after = tag.partition(">")
        name = inside.split(None, 1)[0].lower() if inside.strip() else ""
        if hidden:
            hidden = "" if name == f"/{hidden}" else hidden
        elif name in HIDDEN_TAGS:
            hidden = name
        shown.append("" if hidden else after)
    return " ".join(shown)
