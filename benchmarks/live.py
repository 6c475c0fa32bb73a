"""What the live page costs: time to the first picture and to the first motion, scene updates per second with one and
ten viewers, what ten viewers cost the run, how long a typed and a spoken correction take, and memory over many runs.

Viewers are WebSocket clients that receive all that a browser would, and draw nothing. They share the server's CPUs.
Goals: picture within 5 s, motion within 1.5 s, 30 and 15 updates per second, slowdown at most 1.1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from websockets.asyncio.client import ClientConnection, connect

RESULTS_FOLDER = Path(__file__).parent / "results"
TYPED_WORDS = "put the red cube in the blue bowl"
PLAY_REQUEST = {
    "task": "put",
    "level": 1,
    "arm": "panda",
    "policy": "vlm",
    "model": "bundled",
    "altitude": "step",
    "seed": 3,
}
MEMORY_SPEED = 4
"""The runs in which memory is measured are played at this multiple of real time."""
SPOKEN_CORRECTION = Path(__file__).parents[1] / "tests" / "voice" / "put.wav"
"""Says TYPED_WORDS, 1.9 s."""
WRONG_WORDS = "put the red cube in the green bowl and the yellow cube in the blue bowl"
"""The arm begins with the red cube, which the correction sends to the other bowl."""
SPEAKING_S = 2.0
"""From the first call to the end of the sentence."""
MEMORY_SAMPLES = 10
VISER_PROTOCOL: Any = f"viser-v{version('viser')}"
MESHES_BYTES = 100_000
"""The scene is there when so much has come: the arm alone has more."""
GAP_S = 0.25
"""Longer pauses between updates are those of a model that thinks, and do not count."""


@dataclass
class Viewer:
    """One page with its 3-D scene.

    Attributes:
        events, scene: Its connections.
        updates: When each packet of the scene came, in seconds.
        received_bytes: Of the scene.
    """

    events: ClientConnection
    scene: ClientConnection
    updates: list[float] = field(default_factory=list)
    received_bytes: int = 0

    async def watch(self) -> None:
        """Receives the scene for ever."""
        async for packet in self.scene:
            self.updates.append(time.perf_counter())
            self.received_bytes += len(packet)

    async def read_events(self) -> None:
        """Receives the events for ever, as a page does."""
        async for _ in self.events:
            pass

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The next event of one of these kinds."""
        async for message in self.events:
            event = json.loads(message)
            if event["kind"] in kinds:
                return event
            if event["kind"] == "refused":
                raise RuntimeError(f"the page has refused: {event['text']}")
        raise ConnectionError("the page has closed")


def start(folder: str) -> tuple[subprocess.Popen[str], str, float]:
    """The server, its link, and when the command was given."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "qwenarm", "demo", "--no-browser", "--port", "0", "--out", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"})
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return process, found[0], began
    raise RuntimeError("the page did not start")


async def view(link: str, stack: AsyncExitStack, tasks: list[asyncio.Task[None]]) -> Viewer:
    """Opens a page with its scene. tasks: where the one that receives the scene is kept."""
    with closing(urlopen(link)) as page:
        cookie = str(page.headers["Set-Cookie"]).split(";")[0]
    address = link.replace("http", "ws").rstrip("/")
    options: dict[str, Any] = {"additional_headers": {"Cookie": cookie}, "origin": link.rstrip("/"), "max_size": None}
    events = await stack.enter_async_context(connect(f"{address}/events", **options))
    scene = await stack.enter_async_context(connect(f"{address}/scene", subprotocols=[VISER_PROTOCOL], **options))
    viewer = Viewer(events, scene)
    tasks.append(asyncio.create_task(viewer.watch()))
    return viewer


async def play(player: Viewer, request: dict[str, Any], words: str = TYPED_WORDS) -> tuple[float, float, float]:
    """Plays once: seconds to the first motion and to the end, and updates per second while something moved."""
    player.updates.clear()
    began = time.perf_counter()
    await player.events.send(json.dumps({"do": "play", "words": words, "perturbations": {}, **request}))
    await player.next("calling")
    calling = time.perf_counter()
    await player.next("stored")
    ended = time.perf_counter()
    moving = [at for at in player.updates if at > calling]
    gaps = [b - a for a, b in pairwise(moving) if b - a < GAP_S]
    figures = (moving[0] if moving else ended) - began, ended - began, len(gaps) / sum(gaps) if gaps else 0.0
    print("motion after {:.2f} s, end after {:.2f} s, {:.1f} updates per second".format(*figures), flush=True)
    return figures


async def correct(player: Viewer, aloud: bool) -> dict[str, Any]:
    """Corrects a run once. Seconds from the end of the sentence, or from pressing the button, to its words on the page,
    to the correction, which is made at the next look, and to the model's next decision; calls: what that decision was.
    """
    request = {**PLAY_REQUEST, "do": "play", "words": WRONG_WORDS, "perturbations": {}}
    await player.events.send(json.dumps(request))
    await player.next("calling")
    if aloud:
        await player.events.send(json.dumps({"do": "listen"}))  # as the page does when somebody begins to speak
    await asyncio.sleep(SPEAKING_S)
    figures, heard, ended = dict[str, Any](), {"text": TYPED_WORDS}, time.perf_counter()
    if aloud:
        await player.events.send(SPOKEN_CORRECTION.read_bytes())
        heard = await player.next("heard")
        figures["heard_s"] = time.perf_counter() - ended
    recording = heard.get("recording", "")
    await player.events.send(json.dumps({"do": "correct", "text": heard["text"], "recording": recording}))
    calls: list[str] = []
    for kind in ("corrected", "decided"):
        event = await player.next(kind, "stored", "refused")
        if event["kind"] != kind:  # the run has ended before the words were there
            print({**figures, "words": heard["text"], "too late": True}, flush=True)
            return figures
        figures[f"{kind}_s"], calls = time.perf_counter() - ended, event.get("calls", [])
    await player.events.send(json.dumps({"do": "stop"}))
    await player.next("stored")
    print({**figures, "words": heard["text"], "calls": calls}, flush=True)
    return figures


async def hear_cold(player: Viewer) -> dict[str, float]:
    """Seconds until the first recording of a session is on the page: the recogniser is loaded for it."""
    began = time.perf_counter()
    await player.events.send(SPOKEN_CORRECTION.read_bytes())
    await player.next("heard")
    return {"first_heard_s": round(time.perf_counter() - began, 2)}


def summary(corrected: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of some corrections the median and the slowest, in seconds; how many came before the run had ended."""
    in_time = [each for each in corrected if "decided_s" in each]
    found: dict[str, Any] = {"n": len(corrected), "in_time": len(in_time)}
    for name in ("heard_s", "corrected_s", "decided_s"):
        if values := [each[name] for each in corrected if name in each]:
            found[name] = {"median": round(median(values), 2), "max": round(max(values), 2)}
    return found


def memory_mib(process: subprocess.Popen[str]) -> dict[str, float]:
    """Resident memory of the server and of its player, MiB."""

    def resident(pid: int) -> float:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return {"server": round(resident(process.pid)), "player": round(max(map(resident, map(int, children))))}


async def measure_viewers(
    player: Viewer, began: float, repeats: int, view_more: Callable[[], Awaitable[Viewer]]
) -> dict[str, Any]:
    """What one viewer and ten see, and what they cost."""
    figures: dict[str, Any] = {"command_to_first_picture_s": round(player.updates[-1] - began, 2)}
    figures["command_to_model_loaded_s"] = round(await until_ready(player) - began, 2)
    for viewers in (1, 10):
        if viewers > 1:
            for _ in range(viewers - 1):
                await view_more()
        played = [await play(player, PLAY_REQUEST) for _ in range(repeats)]
        figures[f"viewers_{viewers}"] = {
            "typing_to_first_motion_s": round(median(first for first, _, _ in played), 2),
            "run_s": round(median(end for _, end, _ in played), 2),
            "updates_per_s": round(median(rate for _, _, rate in played), 1),
        }
    one, ten = figures["viewers_1"]["run_s"], figures["viewers_10"]["run_s"]
    figures["slowdown_with_ten_viewers"] = round(ten / one, 3)
    return figures


async def until_ready(player: Viewer) -> float:
    """Waits until the model is loaded; when that was."""
    hello = await player.next("hello")
    if not hello["ready"]:
        await player.next("ready")
    return time.perf_counter()


async def measure_memory(
    player: Viewer, policy: str, runs: int, process: subprocess.Popen[str]
) -> AsyncIterator[dict[str, Any]]:
    """Memory before and after so many whole episodes, as far as they have come."""
    before = memory_mib(process)
    figures: dict[str, Any] = {"policy": policy, "speed": MEMORY_SPEED, "runs": 0, "mib": {"before": before}}
    await player.events.send(json.dumps({"do": "speed", "speed": MEMORY_SPEED}))
    for count in range(1, runs + 1):
        await play(player, {**PLAY_REQUEST, "policy": policy, "seed": count})
        if count % max(1, runs // MEMORY_SAMPLES) == 0:
            figures["runs"], figures["mib"][f"after_{count}"] = count, memory_mib(process)
            yield figures


async def measure(link: str, began: float, process: subprocess.Popen[str], options: argparse.Namespace) -> None:
    """Measures what the options ask for, and keeps each part as soon as it is known."""
    keep = Keeper(options.out)
    async with AsyncExitStack() as stack:
        tasks = list[asyncio.Task[None]]()
        player = await view(link, stack, tasks)
        while player.received_bytes < MESHES_BYTES:
            await asyncio.sleep(0.01)
        if options.repeats:

            async def view_more() -> Viewer:
                viewer = await view(link, stack, tasks)
                tasks.append(asyncio.create_task(viewer.read_events()))
                return viewer

            keep(viewers=await measure_viewers(player, began, options.repeats, view_more))
        else:
            await until_ready(player)
        if options.corrections:
            keep(typed_correction=summary([await correct(player, False) for _ in range(options.corrections)]))
            cold = await hear_cold(player)
            spoken = [await correct(player, True) for _ in range(options.corrections)]
            keep(spoken_correction=cold | summary(spoken))
        async for figures in measure_memory(player, options.policy, options.runs, process):
            keep(**{f"memory_{options.policy}": figures})


class Keeper:
    """Writes parts of the figures into a JSON file, each with the load of the machine; parts measured earlier stay."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, **parts: dict[str, Any]) -> None:
        found = json.loads(self.path.read_text()) if self.path.exists() else {}
        load = {"cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(found | {name: load | part for name, part in parts.items()}, indent=1) + "\n")
        print(json.dumps(parts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs for each number of viewers; 0 for none")
    parser.add_argument("--corrections", type=int, default=10, help="runs that are corrected by typing, and aloud")
    parser.add_argument("--runs", type=int, default=200, help="whole episodes for the figures of memory")
    parser.add_argument("--policy", default="vlm", help="who plays these episodes")
    parser.add_argument("--out", type=Path, default=RESULTS_FOLDER / "live.json", help="JSON file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, link, began = start(f"{folder}/session")
        try:
            asyncio.run(measure(link, began, process, options))
        finally:
            process.terminate()
            process.wait(180)


if __name__ == "__main__":
    main()
