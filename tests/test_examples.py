"""Every example runs, in a folder of its own, as its head says."""

import importlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import qwenarm as qa
from qwenarm.mind.checkpoints.load import locate

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)


def example(name: str) -> ModuleType:
    return importlib.import_module(name)


class Server(BaseHTTPRequestHandler):
    """The smallest server that speaks the OpenAI protocol. Its model gives up at once."""

    def do_GET(self) -> None:
        self.answer({"data": [{"id": "test-model"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        user = request["messages"][-1]["content"]
        assert any(part["type"] == "image_url" for part in user), "the model is shown a picture"
        text = '<tool_call>\n{"name": "give_up", "arguments": {"reason": "only a test"}}\n</tool_call>'
        self.answer({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}})

    def answer(self, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_random_agent(capsys: pytest.CaptureFixture[str]) -> None:
    example("random_agent").main(["--episodes", "2", "--steps", "5"])
    assert capsys.readouterr().out.count("success False") == 2


@pytest.mark.render
def test_oracle_film(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    film = example("oracle_film")
    monkeypatch.setattr(film, "FilmRecorder", partial(film.FilmRecorder, size=(180, 320)))  # drawn in less time
    film.main(["--task", "put", "--out", "film"])
    assert ": success after" in capsys.readouterr().out
    assert Path("film/film.mp4").stat().st_size > 10_000
    assert "<video" in Path("film/page.html").read_text(encoding="utf-8")


@pytest.mark.render
def test_own_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    example("own_instruction").main([])
    assert "success, 100% of the way" in capsys.readouterr().out
    assert Path("runs/own/0.html").exists()


@pytest.mark.render
def test_remote_model(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    example("remote_model").main([url, "--seeds", "2"])
    assert "{'gave up': 2}" in capsys.readouterr().out
    assert len(Path("runs/remote/episodes.jsonl").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.render
def test_new_task(capsys: pytest.CaptureFixture[str]) -> None:
    example("new_task").main(["--seeds", "2"])
    assert capsys.readouterr().out.count(": success after") == 2


@pytest.mark.render
def test_shuffled() -> None:
    example("shuffled").main()
    picture = np.asarray(Image.open("shuffled.png"))
    pictures = picture.reshape(4, picture.shape[0] // 4, 6, picture.shape[1] // 6, 3).swapaxes(1, 2)
    for row in pictures:
        changed = [(a != b).any(-1).mean() for a, b in pairwise(row)]
        assert min(changed) > 0.001 and max(changed) < 0.3, "at each look the things lie elsewhere"


def test_average_weights(tmp_path: Path) -> None:
    folder, mean = locate("bundled").folder, tmp_path / "mean"
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    weights = load_file(folder / "model.safetensors")
    embedding = "model.language_model.embed_tokens.weight"
    fewer = {name: 2 * weight for name, weight in weights.items()} | {embedding: 2 * weights[embedding][:-3]}
    save_file(fewer, other / "model.safetensors")
    example("average_weights").main(["bundled", str(other), "--weight", "0.25", "--out", str(mean)])
    found = load_file(mean / "model.safetensors")
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        changed = weight[:-3] if name == embedding else weight
        torch.testing.assert_close(found[name][: len(changed)], 1.25 * changed, rtol=2e-3, atol=1e-5)
    assert torch.equal(found[embedding][-3:], weights[embedding][-3:]), "words of its own"


def test_add_layers(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    example("add_layers").main(["bundled", "--vision", "0,3,3", "--language", "3,4", "--out", str(deep)])
    models = {"shallow": "bundled", "deep": str(deep)}
    before, after = (
        qa.run(task="put", seed=5, model=model, film=False, folder=tmp_path / f"{name}-run")
        for name, model in models.items()
    )
    assert [turn.completions[-1].text for turn in before.turns] == [turn.completions[-1].text for turn in after.turns]
    config = json.loads((deep / "config.json").read_text())
    assert (config["vision_config"]["depth"], config["text_config"]["num_hidden_layers"]) == (9, 7)
    assert config["vision_config"]["deepstack_visual_indexes"] == [4]
    with pytest.raises(SystemExit):
        example("add_layers").main(["bundled", "--vision", "99", "--out", str(tmp_path / "none")])


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short_and_say_how_to_run_them(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert 25 <= len(text.splitlines()) <= 85
    assert re.search(rf"^ *python examples/{name}\.py", text, flags=re.MULTILINE)
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    assert f"def test_{name}(" in tests, "an example without a test"
