"""What may stand behind a server's URL and behind a checkpoint's name."""

import inspect

import pytest

from qwenarm.errors import BadInput
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.backends.openai_server import OpenAIServer
from qwenarm.mind.model_spec import LOCAL_OPTIONS, SERVER_OPTIONS, parse_model_spec
from qwenarm.mind.open_model import open_model


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("http://a:8000", {}),
        ("http://a:8000#", {}),
        ("http://a:8000#Qwen/Qwen3-VL-4B-Instruct", {"model": "Qwen/Qwen3-VL-4B-Instruct"}),
        ("http://a:8000#family=qwen3_5,thinking=yes", {"family": "qwen3_5", "thinking": True}),
        (
            "http://a:8000#/models/mine,constrain=off,temperature=0.7,seed=3",
            {"model": "/models/mine", "constrain": "off", "temperature": 0.7, "seed": 3},
        ),
    ],
)
def test_the_options_behind_a_url(spec, options):
    assert parse_model_spec(spec, SERVER_OPTIONS) == ("http://a:8000", options)


@pytest.mark.parametrize(("backend", "readers"), [(OpenAIServer, SERVER_OPTIONS), (QwenVL, LOCAL_OPTIONS)])
def test_every_option_is_one_of_the_backend(backend, readers):
    assert set(readers) <= set(inspect.signature(backend).parameters)


def test_a_checkpoint_is_loaded_as_is_said_behind_its_name():
    model = open_model("bundled#dtype=bfloat16,threads=2,batch=3,constrained=no,seed=5,temperature=0.5")
    told = model.describe()
    assert (told["model"], told["dtype"], told["threads"], told["seed"]) == ("bundled", "bfloat16", 2, 5)
    assert (told["constrained"], told["sampling"]["temperature"]) == (False, 0.5)
    assert model.batch == 3


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("colour=red", "thinking, constrained"),
        ("quick", "option=value"),
        ("device=tpu", "Valid: cpu"),
        ("dtype=float99", "float32, bfloat16"),
        ("thinking=perhaps", "'thinking' in .* cannot be 'perhaps'"),
        ("threads=0", "at least 1"),
        ("batch=0", "at least 1"),
        ("temperature=-1", "at least 0"),
        ("temperature=inf", "at most 100"),
        ("thinking=yes", "cannot be told to think"),
    ],
)
def test_what_a_checkpoint_cannot_be_told(part, told):
    with pytest.raises(BadInput, match=told):
        open_model(f"bundled#{part}")


@pytest.mark.parametrize("part", ["colour=red", "thinking=perhaps", "temperature=warm", "tools=some", "=1"])
def test_what_is_no_option_is_told(part):
    with pytest.raises(BadInput, match=part.partition("=")[0] or "Valid"):
        parse_model_spec(f"http://a:8000#qwen,{part}", SERVER_OPTIONS)
