"""Sends many requests to a server at once, retries while it is busy, and never waits forever."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar

import httpx

from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed

T = TypeVar("T")

DOWN = frozenset({429, 502, 503, 504, *range(520, 525), 529})
"""Status codes of a server that is down for now, for every request (those above 511 are used by proxies)."""
RETRIED = DOWN | {408, 409, 425, 500}
CONNECT_TIMEOUT_S = 10.0


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
        self._slots = asyncio.Semaphore(concurrency)
        try:
            self._client = httpx.AsyncClient(
                headers=_authorization(key),
                timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
                verify=url.startswith("https"),  # reading all certificates is slow, and plain http needs none
                limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            )
        except (ImportError, OSError, ValueError) as error:  # from a proxy or certificates named in the environment
            raise ModelUnavailable(f"No connection to {url} can be made: {_reason(error)}.") from error

    async def send(self, method: str, url: str, body: Any = None, retries: int | None = None) -> httpx.Response:
        """The server's response, whatever its status. The deadline starts when a connection is free.

        Raises:
            ModelUnavailable: the server cannot be reached.
            PromptFailed: it takes too long, or the connection breaks.
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
                return await self._client.request(method, url, json=body)
        except TimeoutError as error:
            raise PromptFailed(f"{self.url} did not answer within {limit:.3g} s.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, OverflowError, UnicodeError) as error:
            raise ModelUnavailable(f"{self.url!r} is not a valid URL: {error}.") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return ModelUnavailable(f"No answer from {self.url}: {_reason(error)}. Is the server running?")
        except httpx.RequestError as error:
            return PromptFailed(f"{self.url} broke the connection: {_reason(error)}.")

    def _pause(self, attempt: int, found: httpx.Response | Exception) -> float | None:
        """Seconds to wait before the next attempt, jittered so that a batch spreads out; None if none would help."""
        asked = None
        if isinstance(found, httpx.Response):
            if found.status_code not in RETRIED:
                return None
            asked = _asked_pause(found.headers.get("Retry-After", ""))
        return (self.backoff_s * 2**attempt if asked is None else asked) * random.uniform(1.0, 1.25)


def _authorization(key: str) -> dict[str, str]:
    """The header for a key. A key that begins with "Basic " or "Bearer " is sent as it is. Raises BadInput, without
    repeating the key, for characters that cannot stand in a header.
    """
    if not key:
        return {}
    if not key.isascii() or not key.isprintable():
        raise BadInput("The server's key has characters that no key can have; copy it again, without anything else.")
    return {"Authorization": key if key.startswith(("Basic ", "Bearer ")) else f"Bearer {key}"}


def _asked_pause(value: str) -> float | None:
    """Retry-After in seconds: a number or a date (RFC 9110)."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def complaint(response: httpx.Response) -> str:
    """The error message in a server's response, on one line: from JSON in any of the usual forms, or from HTML."""
    try:
        content = response.json()
    except ValueError:
        page = re.sub(r"(?s)<(script|style|head)\b.*?</\1>|<[^>]*>", " ", response.text)
        return " ".join(page.split())[:300] or "no reason given"
    for key in ("error", "detail", "message"):
        content = content.get(key, content) if isinstance(content, Mapping) else content
    return " ".join(str(content).split())[:300] or "no reason given"
