"""Whatever computes with torch keeps few kernels, which is decided before the first product."""

import os
import subprocess
import sys

import pytest

VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


@pytest.mark.parametrize(
    ("module", "set_before", "kept"),
    [("mind.backends.local", "", "128"), ("train.learner", "", "128"), ("mind.inference", "64", "64")],
)
def test_acting_and_training_keep_as_many_kernels_as_was_chosen(module: str, set_before: str, kept: str):
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE} | (
        {VARIABLE: set_before} if set_before else {}
    )
    told = f"import os, qwenarm.{module}\nprint(os.environ['{VARIABLE}'])"
    done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == kept
