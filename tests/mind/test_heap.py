"""What was freed between blocks that stay is given back."""

import subprocess
import sys

import pytest

HOLES = """
from qwenarm.mind.inference.heap import trim_heap

def resident_mib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024

blocks = [bytearray(b"x" * 64_000) for _ in range(3000)]  # smaller than what the C library maps by itself
full = resident_mib()
del blocks[::2], blocks[:-1]  # the last one stays, and with it all below
held = resident_mib()
trim_heap()
print(full - held, held - resident_mib())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_heap_with_holes_is_given_back():
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    before, trimmed = map(float, done.stdout.split())
    assert before < 30 < 150 < trimmed
