"""Run by the Python of an environment with the real OpenEnv: plays over its clients, prints what happened as JSON."""

import json
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from openenv.core import GenericEnvClient

from qwenarm.serve.openenv import ArmAction, OpenEnvArm

url, told = sys.argv[1], {}
headers = {"Authorization": "Bearer secret"}


def status(path: str, **more: str) -> int:
    try:
        return urlopen(Request(url + path, headers=more)).status
    except HTTPError as error:
        return error.code


told["health"] = [
    status("/health"),
    status("/health", **headers),
    status("/health", Origin="http://evil.example", **headers),
]
for name, more in (("no token", {}), ("web page", {**headers, "Origin": "http://evil.example"})):
    try:
        with GenericEnvClient(base_url=url, headers=more).sync() as client:
            client.reset()
            told[name] = "admitted"
    except Exception as error:
        told[name] = str(error)

with OpenEnvArm(base_url=url, headers=headers).sync() as arm, OpenEnvArm(base_url=url, headers=headers).sync() as other:
    start = arm.reset(seed=3)
    told["tools"] = [tool["function"]["name"] for tool in start.observation.tools]
    told["texts"] = [part["text"] for part in start.observation.content if part["type"] == "text"]
    told["images"] = [image.shape for image in start.observation.images()]
    told["same scene"] = other.reset(seed=3).observation.content == start.observation.content
    there = {"at": {"label": "thing", "point_2d": [1, 1]}}
    failed = arm.step(ArmAction(name="pick", arguments=there))
    told["failed"] = [failed.observation.ok, failed.done, failed.reward]
    told["count"] = [arm.state().step_count, other.state().step_count]
    ended = arm.step(ArmAction(name="give_up", arguments={"reason": "only a test"}))
    told["ended"] = [ended.observation.ok, ended.done, ended.reward]
    try:
        arm.step(ArmAction(name="look"))
    except Exception as error:
        told["over"] = str(error)
    told["again"] = arm.reset(seed=4).observation.content != start.observation.content
    plain = GenericEnvClient(base_url=url, headers=headers).sync()
    with plain:
        result = plain.reset(seed=3)
        told["generic"] = sorted(result.observation)
print(json.dumps(told))
