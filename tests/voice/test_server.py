"""A server's answer is text or one sentence about what is wrong with it; the key goes to the named server only."""

import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.voice import open_recognizer, recognize
from qwenarm.voice.sound import from_wav, to_wav

SOUND = from_wav(to_wav(0.1 * np.sin(np.arange(16000) / 5)), "a.wav")


@contextmanager
def server(body: bytes, status: int = 200, headers: dict[str, str] | None = None):
    """A server that gives one answer to everything. Yields its URL and the requests that came."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            requests.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            with suppress(OSError):  # the client may have read enough
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", requests
    finally:
        listening.shutdown()
        listening.server_close()


def hear(url):
    return recognize(SOUND, open_recognizer(f"{url}#whisper-1")).heard


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_the_recording_is_sent_as_the_protocol_has_it(monkeypatch, end):
    monkeypatch.setenv("QWENARM_SPEECH_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "of-another-service")
    with server(json.dumps({"text": " Put the red cube\nin the blue bowl. "}).encode()) as (url, requests):
        assert hear(url + end) == "Put the red cube in the blue bowl."
    ((path, headers, body),) = requests
    assert path == "/v1/audio/transcriptions" and headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"].startswith("multipart/form-data") and b"of-another-service" not in body
    assert (
        b'name="model"\r\n\r\nwhisper-1\r\n' in body
        and b'filename="instruction.wav"' in body
        and b"\r\n\r\nRIFF" in body
    )


def test_without_a_key_of_its_own_no_key_is_sent(monkeypatch):
    monkeypatch.delenv("QWENARM_SPEECH_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "of-another-service")
    with server(b'{"text": "stop"}') as (url, requests):
        assert hear(url) == "stop"
    assert "Authorization" not in requests[0][1]


@pytest.mark.parametrize(
    ("body", "status", "error", "said"),
    [
        (b"<html>hello</html>", 200, ModelUnavailable, "did not answer with"),
        (b"", 200, ModelUnavailable, "did not answer with"),
        (b"[]", 200, ModelUnavailable, "did not answer with"),
        (b"null", 200, ModelUnavailable, "did not answer with"),
        (b'{"text": 7}', 200, ModelUnavailable, "did not answer with"),
        (b"[" * 500_000, 200, ModelUnavailable, "did not answer with"),
        (b'{"text": "' + b"a" * 3_000_000, 200, ModelUnavailable, "more than 1000 kB"),
        (b'{"text": "' + b"put " * 1000 + b'"}', 200, BadInput, "no instruction"),
        (b'{"text": ""}', 200, BadInput, "understood no word"),
        (b'{"text": "\\u001b \\u202e ..."}', 200, BadInput, "understood no word"),
        (b'{"error": {"message": "no such model"}}', 404, ModelUnavailable, "no such model"),
        (b"\xff\xfe\x00", 500, ModelUnavailable, "refused the recording"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_hostile_answer_is_told_in_one_sentence(body, status, error, said):
    with server(body, status) as (url, _), pytest.raises(error, match=said) as told:
        hear(url)
    assert len(str(told.value)) < 500 and "\n" not in str(told.value)


def test_control_characters_and_lone_surrogates_do_not_get_through():
    with server(b'{"text": "put\\u001b]0;owned\\u0007 the \\ud800cube \\u202e\\u0000up"}') as (url, _):
        heard = hear(url)
    assert heard.isprintable() and heard.startswith("put ]0;owned the") and heard.encode()


def test_a_redirect_does_not_take_the_key_elsewhere(monkeypatch):
    monkeypatch.setenv("QWENARM_SPEECH_KEY", "secret")
    with server(b'{"text": "stop"}') as (other, stolen):
        elsewhere = {"Location": f"{other}/v1/audio/transcriptions"}
        with server(b"", 307, elsewhere) as (url, _), pytest.raises(ModelUnavailable, match="307"):
            hear(url)
    assert not stolen


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("http://localhost:1", "must name a server and its model"),
        ("http://#whisper", "must name a server and its model"),
        ("http://me:secret@localhost#whisper", "does not belong in the URL"),
        ("http://localhost/?key=secret#whisper", "does not belong in the URL"),
    ],
)
def test_a_wrong_name_is_told_without_repeating_a_key(name, said):
    with pytest.raises(BadInput, match=said) as told:
        open_recognizer(name)
    assert "secret" not in str(told.value)


def test_no_server_there():
    with pytest.raises(ModelUnavailable, match="did not answer"):
        hear("http://127.0.0.1:9")
