# MuJoCo's bindings carry no types: say so once here, instead of in every file that uses them.
from typing import Any

def __getattr__(name: str) -> Any: ...
