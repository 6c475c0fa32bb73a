"""On a GPU: all of it on a pretended one, and what is marked ``gpu`` on a real one besides."""

import operator
from contextlib import nullcontext

import pytest
import torch
from benchmarks.pretend_gpu import Graph, pretend_gpu
from tests.mind.test_engine import ask, written
from tests.mind.test_lean import DENSE, PLAN, close, logits_of

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind import grammar
from qwenarm.mind.backends.qwen_vl import QwenVL
from qwenarm.mind.checkpoints import load_model, locate
from qwenarm.mind.lean import Lean
from qwenarm.mind.recorded import WIDTHS, Recorded

KINDS = (*DENSE, "bundled", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def device(request):
    with pretend_gpu() if request.param == "pretended" else nullcontext():
        yield "cuda"


@pytest.fixture
def source(save_tiny, tmp_path, monkeypatch):
    """Finds or makes a checkpoint of a kind."""
    monkeypatch.setattr(grammar, "PROSE_CHARS", 12)  # a random model babbles up to the bound
    return lambda kind: kind if kind == "bundled" else str(save_tiny(tmp_path / kind, kind))


@pytest.mark.parametrize(("kind", "dtype"), [*((kind, "bfloat16") for kind in KINDS), ("bundled", "float32")])
def test_every_family_answers_there_as_here(source, look, specs, kind, dtype):
    folder = source(kind)
    here = QwenVL(folder, device="cpu", dtype=dtype)
    prompts = ask(here, look, specs, limit=6)
    with pretend_gpu() as gpu:
        there = QwenVL(folder, dtype=None if dtype == "bfloat16" else dtype)
        told = there.describe()
        assert (told["device"], told["dtype"]) == ("cuda:0", dtype)
        assert all(weight.device.type == "cuda" for weight in there.model.parameters())
        for several in (prompts[:3], prompts[3:]):
            assert written(there, several) == written(here, several)
        assert gpu.kernels > 300


def test_drawn_answers_too(source, look, specs):
    here = QwenVL(source("bundled"), device="cpu", temperature=1.0)
    prompts = ask(here, look, specs)
    with pretend_gpu():
        assert written(QwenVL("bundled", dtype="float32", temperature=1.0), prompts) == written(here, prompts)


@pytest.mark.parametrize("kind", [*DENSE, "bundled"])
def test_recorded_steps_write_the_same(device, source, look, specs, kind):
    folder = source(kind)
    model, recorded = (QwenVL(folder, device=device, dtype="float32", graphs=graphs) for graphs in (False, True))
    assert isinstance(recorded.engine.passes, Recorded)
    assert recorded.describe()["graphs"] is True
    prompts = ask(model, look, specs)
    alone = [written(model, [prompt])[0] for prompt in prompts]
    assert [written(recorded, [prompt])[0] for prompt in prompts] == alone
    assert written(recorded, [*prompts[::-1], prompts[1]]) == [*alone[::-1], alone[1]]


@pytest.mark.parametrize("kind", [*DENSE, "bundled"])
def test_recorded_steps_compute_the_same(device, source, kind):
    folder = source(kind)
    lean, recorded = (way(load_model(locate(folder), PLAN).to(device)) for way in (Lean, Recorded))
    for one, other in zip(logits_of(recorded, device), logits_of(lean, device), strict=True):
        torch.testing.assert_close(one, other, **close)


@pytest.mark.parametrize("kind", DENSE)
def test_a_step_waits_once_and_is_one_launch(source, look, specs, kind):
    with pretend_gpu() as gpu:
        model = QwenVL(source(kind), graphs=True, constrained=False)
        counts = []
        for limit in (9, 9, 19):  # all is recorded after the first
            prompt = ask(model, look, specs, limit)[:1]
            before = gpu.kernels, gpu.waits, gpu.copies, gpu.replays
            (answer,) = written(model, prompt)
            assert len(answer) == limit
            now = gpu.kernels, gpu.waits, gpu.copies, gpu.replays
            counts.append([new - old for new, old in zip(now, before, strict=True)])
        _, short, long = counts
        kernels, waits, copies, replays = (more - less for more, less in zip(long, short, strict=True))
        assert (waits, copies, replays) == (10, 20, 10)
        assert kernels < 10 * 20
        if kind == "qwen3_vl":
            assert short[1] <= 9 + 1, "the tower makes nobody wait"


def test_all_batches_share_memory_and_few_recordings(source, look, specs):
    with pretend_gpu():
        model = QwenVL(source("qwen3_vl"), graphs=True)
        passes, prompts = model.engine.passes, ask(model, look, specs)
        written(model, prompts[:1] * 8)
        keys = passes.shelf.keys
        for rows in (1, 3, 5, 8, 7):
            written(model, (prompts * 2)[:rows])
        assert passes.shelf.keys is keys
        assert {shape[1] for shape in passes._recordings} <= {1, 2, 4, 8}
        assert len(passes._recordings) <= 4 * len(WIDTHS)


def test_a_recording_that_computes_something_else_is_not_used(source, look, specs, monkeypatch):
    with pretend_gpu():
        model = QwenVL(source("qwen3_vl"), graphs=True)
        monkeypatch.setattr(Graph, "replay", lambda graph: None)
        with pytest.raises(ModelUnavailable, match="graphs=no"):
            written(model, ask(model, look, specs))


@pytest.mark.parametrize("kind", ["qwen3_vl_moe", "qwen3_5"])
def test_what_cannot_be_recorded_says_so(source, kind):
    with pretend_gpu(), pytest.raises(BadInput, match="dense"):
        QwenVL(source(kind), graphs=True)


def test_what_does_not_fit_is_told(source):
    with pretend_gpu(free=30 << 20), pytest.raises(ModelUnavailable, match="cuda has 31 MB free"):
        QwenVL(source("bundled"))


def test_the_benchmarks_run(monkeypatch, capsys, request):
    monkeypatch.syspath_prepend(request.config.rootpath / "benchmarks")
    import gpu_counts
    import gpu_decoding

    monkeypatch.setattr("sys.argv", ["", "--tiny", "--sizes", "2B", "--batches", "3", "--times", "1"])
    gpu_decoding.main()
    assert capsys.readouterr().out.count("times plain") == 2 + 1
    with pretend_gpu() as gpu:
        found = gpu_counts.count(gpu, "2B", 1, shallow=True)
    launches = [found[way]["launches"] for way in ("plain", "engine", "graphs")]
    assert launches == sorted(launches, reverse=True)
    assert found["graphs"]["waits a step"] == 1


class TestPretence:
    """It breaks where a GPU would."""

    def test_tensors_of_two_devices(self):
        with pretend_gpu():
            far, here = torch.ones(3, device="cuda"), torch.ones(3)
            with pytest.raises(AssertionError, match="GPU and of the CPU"):
                far + here
            assert (far + torch.tensor(1.0)).tolist() == [2.0] * 3  # a number may be anywhere
            assert (far + here.to("cuda")).cpu().equal(here + 1)

    @pytest.mark.parametrize(
        "wait",
        [
            lambda row: row[row > 1],
            lambda row: row.nonzero(),
            lambda row: float(row[0]),
            lambda row: row.masked_select(row > 1),
            lambda row: row.cpu(),
            lambda row: torch.ones(int(row[0]), device="cuda"),
            lambda row: row + torch.tensor([1.0], device="cuda"),
            lambda row: operator.setitem(row, 0, torch.ones(1)),
            lambda row: row[torch.tensor([0])],
        ],
    )
    def test_what_a_graph_cannot_hold(self, wait):
        with pretend_gpu() as gpu:
            row = torch.arange(1.0, 5.0, device="cuda")
            before = gpu.waits + gpu.copies
            wait(row)
            assert gpu.waits + gpu.copies > before
            with pytest.raises(AssertionError, match="while a graph is captured"), torch.cuda.graph(Graph(gpu)):
                wait(row)

    def test_a_graph_repeats_operations_and_not_python(self):
        with pretend_gpu() as gpu:
            row, shift, runs = torch.zeros(4, device="cuda"), 5.0, []
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                runs.append(1)
                view = (row + shift).view(2, 2)
                view[0] *= 2
                total = view.sum()
            assert total.item() == 0, "a capture computes nothing"
            shift = 7.0
            for value, expected in ((0.0, 30.0), (1.0, 36.0)):
                row.fill_(value)
                graph.replay()
                assert total.item() == expected
            assert (len(runs), gpu.replays) == (1, 2)
