"""Makes docs/media/live.png and live-why.png: a real visitor's browser at the live page, as README and demo.md show it.

python docs/make_live_media.py
"""

import argparse
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

MEDIA = Path(__file__).parent / "media"
WEBGL = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WIDE, NARROW = ViewportSize(width=1280, height=1000), ViewportSize(width=390, height=844)
PATIENCE_MS = 600_000
"""Without a GPU the 3-D scene is drawn slowly."""
SETTLE_MS = 6000
"""From the last event to the last frame of the scene."""
WORDS, SEEDS = "put the red cube in the blue bowl", range(1, 30)
SMALL = ViewportSize(width=600, height=600)
DRAG_STEPS, DRAGS_PX = 8, ((30, 8), (24, -2), (16, 8), (-16, 6))
PAUSE_AT_FIRST_CALL = """() => {
  const shown = handlers.calling;
  handlers.calling = event => { shown(event); ask({ do: "pause", on: true }); handlers.calling = shown; };
}"""
COLORS = 256
WHY_SHOWN = (
    "#outcome.red",
    "#outcome2.green",
    "#beside:has-text('With oracle\\'s eyes it succeeds')",
    "#speak",
    "#follow",
)
"""What live-why.png must show."""


def main() -> None:
    """Plays and photographs. Fails when a picture would not show what its caption says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--more", type=Path, help="a folder for the same views, narrow and wide, light and dark")
    more = parser.parse_args().more
    with TemporaryDirectory() as folder, sync_playwright() as p:
        command = [sys.executable, "-m", "qwenarm", "demo", "--no-browser", "--port", "0", "--out", f"{folder}/session"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            link = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
            browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=list(WEBGL))
            page = browser.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce").new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(link)
            page.wait_for_selector("#play:not([disabled])")
            if not any(drag_away(page, drag) for drag in DRAGS_PX):
                raise SystemExit("Wherever the red cube was dragged, it was not put in the bowl.")
            take(page, MEDIA / "live.png")
            find_failure_of_the_eyes(page)
            page.emulate_media(color_scheme="dark")
            take(page, MEDIA / "live-why.png", WHY_SHOWN)
            look_around(page, more)
        finally:
            server.terminate()
            server.wait(180)


def start(page: Page, button: str) -> None:
    """Starts a run and waits until it is played."""
    last = page.get_attribute("body", "data-run") or "0"
    page.eval_on_selector(button, "button => button.click()")
    page.wait_for_function("last => Number(document.body.dataset.run ?? 0) > last", arg=int(last))


def outcome(page: Page, badge: str = "#outcome") -> str:
    """How the run ends."""
    page.wait_for_selector(f"{badge}:not([hidden])")
    page.wait_for_selector("body[data-playing=false]")
    return page.inner_text(badge)


def drag_away(page: Page, drag: tuple[int, int]) -> bool:
    """A visitor drags the red cube away while the arm reaches for it. Without a GPU a browser may take longer to draw
    than the arm to pick: the page is small, and the run stands still, until the thing is held. Returns whether it is
    put in the bowl all the same.
    """
    page.set_viewport_size(SMALL)
    page.evaluate(PAUSE_AT_FIRST_CALL)
    page.evaluate("words => { $('words').value = words; $('speed').value = '0.25'; }", WORDS)
    start(page, "#go")
    page.wait_for_selector("#log .call", state="attached")
    x, y = red_thing(page)
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, DRAG_STEPS + 1):
        page.mouse.move(x + drag[0] * step / DRAG_STEPS, y + drag[1] * step / DRAG_STEPS)
        page.screenshot()  # waits until it is drawn
    page.evaluate("ask({ do: 'pause', on: false })")
    page.locator("#log", has_text="By a visitor, the red cube was moved.").wait_for(state="attached", timeout=60_000)
    page.mouse.up()
    ended = outcome(page)
    print(f"dragged by {drag}: {ended}", flush=True)
    page.set_viewport_size(WIDE)
    return ended == "success"


def red_thing(page: Page) -> tuple[float, float]:
    """The middle of what is red in the 3-D scene, in pixels of the page."""
    page.locator("iframe").scroll_into_view_if_needed()
    box: Any = page.locator("iframe").bounding_box()
    for _ in range(100):
        rgb = np.asarray(Image.open(BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)
        y, x = np.nonzero((rgb[..., 0] > 120) & (rgb[..., 1] < 70) & (rgb[..., 2] < 70))
        if len(x) > 10:
            return box["x"] + float(np.median(x)), box["y"] + float(np.median(y))
        page.wait_for_timeout(500)
    raise SystemExit("The red cube is not drawn.")


def find_failure_of_the_eyes(page: Page) -> None:
    """Plays seeds in colours that the model has not seen until one fails that the oracle's eyes repair."""
    page.eval_on_selector("#setup", "details => { details.open = true }")
    page.select_option("#perturbation", "look")
    page.select_option("#strength", "3")
    page.select_option("#speed", "4")
    page.fill("#words", "")
    for seed in SEEDS:
        page.fill("#seed", str(seed))
        page.locator("#seed").blur()  # the page shows the seed's scene now, not when the field loses the focus later
        start(page, "#play")
        print(f"seed {seed}: {outcome(page)}", flush=True)
        if page.inner_text("#outcome") == "success":
            continue
        start(page, "#parts button:nth-child(3)")  # oracle's eyes
        if outcome(page, "#outcome2") == "success":
            page.locator("#verdict", has_text="With oracle's eyes it succeeds").wait_for()
            page.eval_on_selector("#setup", "details => { details.open = false }")
            return
    raise SystemExit(f"No seed of {SEEDS} fails because of what the model sees.")


def take(page: Page, path: Path, shown: tuple[str, ...] = ()) -> None:
    """Photographs what is in sight. shown: selectors of what must be seen in it."""
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(SETTLE_MS)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(COLORS)
    missing = [selector for selector in shown if not page.is_visible(selector)]
    if missing:
        raise SystemExit(f"{path} would not show {', '.join(missing)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


def look_around(page: Page, folder: Path | None) -> None:
    """The same moment, narrow and wide, light and dark."""
    if folder is None:
        return
    for scheme in ("light", "dark"):
        for size in (NARROW, WIDE):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            take(page, folder / f"{size['width']}-{scheme}.png")
    page.emulate_media(color_scheme="light")


if __name__ == "__main__":
    main()
