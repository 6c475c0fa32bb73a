"""What may stand behind a server's URL."""

import pytest

from qwenarm.errors import BadInput
from qwenarm.mind.address import read_address


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
    assert read_address(spec) == ("http://a:8000", options)


@pytest.mark.parametrize("part", ["colour=red", "thinking=perhaps", "temperature=warm", "tools=some", "=1"])
def test_what_is_no_option_is_told(part):
    with pytest.raises(BadInput, match=part.partition("=")[0] or "Valid"):
        read_address(f"http://a:8000#qwen,{part}")
