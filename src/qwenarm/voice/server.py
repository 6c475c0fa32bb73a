"""A recogniser behind a URL: any server with OpenAI's ``/v1/audio/transcriptions``, such as vLLM or speaches."""

from __future__ import annotations

import json
import os
import time

import httpx
import numpy as np

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.backends._http import CONNECT_TIMEOUT_S, complaint
from qwenarm.voice.sound import to_wav

KEY_VARIABLE = "QWENARM_SPEECH_KEY"
"""Its value is sent to the server that the user names, and to no other: redirects are not followed."""
TIME_LIMIT_S = 60.0
MAX_ANSWER_BYTES = 1_000_000


class TranscriptionServer:
    """One model of one server.

    Args:
        name: The server's URL, with or without "/v1", and the model behind "#".

    Raises:
        BadInput: The name lacks one of the two, or holds a key or a password.
    """

    def __init__(self, name: str) -> None:
        address, _, self.model = name.partition("#")
        try:
            url = httpx.URL(address)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise BadInput(f"{address!r} is not a valid URL: {error}.") from error
        if url.userinfo or url.query:
            raise BadInput(f"A key does not belong in the URL; put it into the environment variable {KEY_VARIABLE}.")
        if not self.model or not url.host:
            raise BadInput(f"{name!r} must name a server and its model, as in http://localhost:8000#whisper-large-v3.")
        self.name = name
        self.url = address.rstrip("/").removesuffix("/v1") + "/v1/audio/transcriptions"
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key.isascii() or (key and not key.isprintable()):
            raise BadInput(f"{KEY_VARIABLE} has characters that no key can have; copy it again.")
        self._headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}

    def transcribe(self, samples: np.ndarray) -> str:
        """See ``Recognizer``."""
        form = {"model": self.model, "response_format": "json", "temperature": "0"}
        files = {"file": ("instruction.wav", to_wav(samples), "audio/wav")}
        limits = httpx.Timeout(TIME_LIMIT_S, connect=CONNECT_TIMEOUT_S)
        try:
            with httpx.stream(
                "POST", self.url, data=form, files=files, headers=self._headers, timeout=limits
            ) as response:
                answer = self._read(response)
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"{self.url} did not answer: {str(error) or type(error).__name__}.") from error
        if response.status_code != httpx.codes.OK:
            reason = complaint(httpx.Response(response.status_code, content=answer))
            raise ModelUnavailable(f"{self.url} refused the recording ({response.status_code}): {reason}.")
        try:
            text = json.loads(answer)["text"]
        except (ValueError, TypeError, LookupError, RecursionError):
            text = None
        if not isinstance(text, str):
            raise ModelUnavailable(f'{self.url} did not answer with {{"text": ...}} in JSON: is it a speech server?')
        return text

    def _read(self, response: httpx.Response) -> bytes:
        """The body. Raises ModelUnavailable when it is too large or comes too slowly."""
        body, ends = bytearray(), time.monotonic() + TIME_LIMIT_S
        for part in response.iter_raw():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise ModelUnavailable(f"{self.url} answered with more than {MAX_ANSWER_BYTES // 1000} kB.")
            if time.monotonic() > ends:
                raise ModelUnavailable(f"{self.url} took longer than {TIME_LIMIT_S:g} s to answer.")
        return bytes(body)
