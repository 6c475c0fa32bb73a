"""A person at the live page: Chromium against the real server, with the bundled model."""

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from tests.chromium import PAGES_ONLY, chromium, launched
from tests.live.visitor import Visitor

from qwenarm.episode.trace import read
from qwenarm.live.journal import run_folder
from qwenarm.types import Episode

pytestmark = pytest.mark.browser
WEBGL = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Arguments of a browser that draws the 3-D scene. It works hard even at a page without one."""
SPOKEN = Path(__file__).parents[1] / "voice" / "put.wav"
"""The sentence is put the red cube in the blue bowl, spoken by espeak-ng; it lasts 1.9 s."""
MICROPHONE = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={SPOKEN}%noloop",
)
"""Hears the recording once, each time that it is opened."""
SPEAKING_MS, HEARING_MS = 2500, 30_000
MIN_CONTRAST, MIN_TOUCH_PX = 4.5, 40
UNREADABLE = Path(__file__).with_name("unreadable.js").read_text()
"""Texts of the page with less contrast."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched(*PAGES_ONLY, *MICROPHONE) as found:
        yield found


@pytest.fixture(scope="module")
def person(browser, served) -> Iterator[Visitor]:
    found = Visitor(browser, served.link)
    yield found
    assert found.complaints == []


@pytest.fixture
def visitor(person) -> Visitor:
    """The same person in all tests, at quadruple speed and with nothing being played."""
    person.stop()
    person.pick(speed="4", perturbation="none")
    return person


def events(served, kind: str) -> list[dict]:
    lines = (served.folder / "journal.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def test_an_instruction_is_typed_and_the_arm_does_it(visitor, served):
    visitor.say("put the red cube in the blue bowl")
    visitor.expect("#read", "read as: red cube in blue bowl")
    visitor.page.locator("#frames svg .ring").first.wait_for(state="attached")
    assert visitor.outcome == "success"
    moved = [pose[0] for event in events(served, "poses") for pose in event["poses"].values()]
    assert max(moved) - min(moved) > 0.2
    assert visitor.page.inner_text("#log li:last-child .call").startswith("pick red cube")
    assert not visitor.page.is_visible("#log li:last-child .truth")
    visitor.page.click("#oracle")
    assert visitor.page.inner_text("#log li:last-child .truth").startswith("oracle: pick red cube")
    visitor.page.click("#oracle")
    assert visitor.page.locator("#gallery article").count() >= 1


@pytest.mark.slow
def test_the_scene_is_drawn_and_a_thing_can_be_dragged(browser, served, visitor):
    visitor.page.click("#pass")
    drawing = browser.browser_type.launch(executable_path=chromium(), args=list(WEBGL))
    drawn = Visitor(drawing, served.link, scene=True)
    drawn.page.set_viewport_size({"width": 600, "height": 900})
    drawn.pick(speed="0.25")
    drawn.say("put the red cube in the blue bowl")
    drawn.page.wait_for_selector("#log .call")
    before = wait_for_red(drawn.page)
    drawn.page.mouse.move(*before)
    drawn.page.mouse.down()
    drawn.page.mouse.move(before[0] + 40, before[1] + 10, steps=20)
    drawn.expect("#log", "By a visitor, the red cube was moved.")
    drawn.page.mouse.up()
    if shots := os.environ.get("QWENARM_SCREENSHOTS"):
        drawn.page.set_viewport_size({"width": 1280, "height": 1000})
        drawn.page.wait_for_timeout(4000)
        drawn.page.screenshot(path=f"{shots}/live.png")
    assert drawn.outcome
    drawn.page.click("#pass")
    assert drawn.complaints == []
    drawing.close()


def wait_for_red(page: Any) -> tuple[float, float]:
    """The middle of what is red in the 3-D scene, in pixels of the page."""
    box = page.locator("iframe").bounding_box()
    for _ in range(60):
        rgb = np.asarray(Image.open(BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)
        y, x = np.nonzero((rgb[..., 0] > 120) & (rgb[..., 1] < 70) & (rgb[..., 2] < 70))
        if len(x) > 10:
            return box["x"] + float(np.median(x)), box["y"] + float(np.median(y))
        page.wait_for_timeout(500)
    raise AssertionError("the red cube is not drawn")


def test_a_correction_in_mid_run_is_the_instruction_from_the_next_look_on(visitor, served):
    visitor.say("put the red cube in the blue bowl")
    visitor.page.wait_for_selector("#log .call")
    visitor.pause(True)
    visitor.correct("put the red cube on the table")
    visitor.pause(False)
    visitor.expect("#log", "Corrected: put the red cube on the table")
    assert visitor.outcome
    told = [turn.observation.instruction for turn in last_run(served)[0].turns]
    assert told[0] == "put the red cube in the blue bowl" and told[-1] == "put the red cube on the table"


def test_a_part_is_replaced_in_mid_run(visitor):
    phone = visitor.page.viewport_size
    visitor.page.set_viewport_size({"width": 1280, "height": 1000})  # on a phone the buttons wait for the end
    visitor.say("put the red cube in the blue bowl")
    visitor.page.wait_for_selector("#log .call")
    visitor.pause(True)
    assert visitor.page.is_disabled("#cause")
    visitor.page.click('#parts button:has-text("oracle\'s eyes")')
    visitor.page.set_viewport_size(phone)
    visitor.expect("#verdict", "With oracle's eyes it succeeds. How it would have ended without is not known")
    assert visitor.page.inner_text("#other h3") == "oracle's eyes"


def test_the_oracles_eyes_show_why_it_failed(visitor):
    visitor.pick(perturbation="look", strength="3")
    visitor.page.fill("#words", "")
    visitor.page.fill("#seed", "3")
    visitor.start("#play")
    assert visitor.outcome not in ("success", "crashed")
    visitor.page.click('#parts button:has-text("oracle\'s eyes")')
    visitor.expect("#verdict", "With oracle's eyes it")
    assert visitor.page.inner_text("#other h3") == "oracle's eyes"
    assert visitor.page.locator("#other .log li").count() > 0 and visitor.page.locator("#log li").count() > 0


def test_a_link_fills_in_what_is_on_offer_and_every_run_has_one(visitor, served):
    picked = {"task": "stack", "level": "2", "policy": "idle", "seed": "7"}
    hostile = "&arm=nobody&strength=9&model=http://x&words=<b>&outcome=x"
    values = f"() => {json.dumps([*picked])}.map(id => document.getElementById(id).value)"
    visitor.page.goto("about:blank")
    visitor.page.goto(f"{served.link}#{urlencode(picked)}{hostile}")
    visitor.page.wait_for_selector("#examples button")
    assert visitor.page.evaluate(values) == [*picked.values()] and visitor.page.input_value("#arm") == "panda"
    assert visitor.page.input_value("#words") == "<b>"
    visitor.page.fill("#words", "")
    visitor.start("#play")
    assert visitor.outcome == "out of turns"
    instruction = events(served, "started")[-1]["instruction"]
    visitor.pick(task="put", policy="vlm")
    assert "task=put" in visitor.page.url, "the address follows the pickers"
    visitor.page.locator("#gallery article").first.get_by_text("set up again").click()
    visitor.expect("#read", f"“{instruction}” — press Play")
    assert visitor.page.evaluate(values) == [*picked.values()]
    visitor.pick(task="put", policy="vlm", level="1")


def test_a_reload_in_mid_run_shows_the_same_run(visitor):
    visitor.say("put the red cube in the blue bowl")
    visitor.page.wait_for_selector("#log .call")
    visitor.pause(True)
    first = visitor.page.inner_text("#log li:last-child .call")
    visitor.page.reload()
    visitor.page.wait_for_selector("#log .call")
    assert visitor.page.inner_text("#log li:last-child .call") == first
    visitor.pause(False)  # it is still this visitor's turn
    assert visitor.outcome == "success"


def test_one_plays_and_the_other_watches_and_waits(browser, served, visitor):
    visitor.say("put the red cube in the blue bowl")
    other = Visitor(browser, served.link)
    other.expect("#turn", "Somebody else plays")
    assert other.page.is_disabled("#go") and other.page.is_disabled("#stop")
    other.page.click("#ask")
    other.expect("#turn", "number 1 in the queue")
    assert other.outcome == visitor.outcome == "success"
    visitor.page.click("#pass")
    other.expect("#turn", "You play")
    other.page.click("#pass")
    assert other.complaints == []
    other.context.close()
    visitor.page.wait_for_selector("#words:not([disabled])")


def test_the_buttons_stay_where_they_are_whatever_the_page_tells(visitor):
    """A button that moves between press and release is not clicked."""

    def top() -> float:
        return visitor.page.eval_on_selector("#play", "button => button.getBoundingClientRect().top + scrollY")

    before = top()
    for text in ("", "a short one", "a very long one, " * 30):
        visitor.page.evaluate("text => handle({ kind: 'refused', text, anyway: true })", text)
        assert top() == before


def test_a_phone_shows_things_in_the_order_in_which_a_visitor_needs_them(visitor):
    order = """event => {
      handle({ run: 0, ...event });
      scrollTo(0, 0); // what sticks to the top stands in its place
      const parts = [...document.querySelectorAll("#say, .stage, .transport, #why, #setup, #frames")];
      const shown = parts.filter(part => part.checkVisibility()).sort((a, b) => a.offsetTop - b.offsetTop);
      return shown.map(part => (part.id ? `#${part.id}` : `.${part.classList[0]}`));
    }"""
    assert visitor.page.evaluate(order, {"kind": "started"}) == ["#say", ".stage", ".transport", "#setup", "#frames"]
    after = visitor.page.evaluate(order, {"kind": "finished", "outcome": "failure"})
    assert after == ["#say", ".stage", ".transport", "#why", "#setup", "#frames"]


def test_a_picture_that_the_model_is_not_shown_says_so(visitor):
    # In one go: a session that arrives in between would clear what is shown.
    show = "events => { events.forEach(handle); return document.querySelector('#frames figcaption').innerText }"
    for policy, caption in (("vlm-blind", "front, hidden from it"), ("vlm", "front")):
        started = {"kind": "started", "run": 0, "policy": policy}
        looked = {"kind": "looked", "run": 0, "turn": 1, "frames": [{"camera": "front", "png": f"{'0' * 24}.png"}]}
        assert visitor.page.evaluate(show, [started, looked]) == caption


def speak(visitor: Visitor, understood: str) -> None:
    """Presses the button, waits until the sentence is over, and presses again; says it again until it is understood.

    A busy machine loses a word now and then: the browser plays and records in real time.

    Args:
        visitor: Who speaks.
        understood: A JavaScript function that is true when the page shows what was said.
    """
    errors = pytest.importorskip("playwright.sync_api")
    for last in (False, False, True):
        visitor.page.click("#speak")
        visitor.page.wait_for_selector("#speak[aria-pressed=true]")
        visitor.page.wait_for_timeout(SPEAKING_MS)
        visitor.page.click("#speak")
        try:
            visitor.page.wait_for_function(understood, timeout=HEARING_MS)
            return
        except errors.TimeoutError:
            if last:
                raise


def test_what_is_said_is_shown_first_then_done_or_becomes_the_correction(visitor, served):
    pytest.importorskip("pocketsphinx")
    words, last = "put the red cube in the blue bowl", len(events(served, "stored"))
    visitor.page.fill("#words", "")
    speak(visitor, f"() => document.querySelector('#words').value === '{words}'")
    visitor.expect("#read", "This was heard")
    assert len(events(served, "stored")) == last, "nothing moves before it is confirmed"
    visitor.start("#go")
    assert visitor.outcome == "success"
    episode, folder = last_run(served)
    assert episode.run.speech["heard"] == words
    assert sha256((folder / "instruction.wav").read_bytes()).hexdigest() == episode.run.speech["sha256"]
    visitor.pick(speed="0.25")
    visitor.say("put the green cube in the blue bowl")
    speak(visitor, f"() => document.querySelector('#log').textContent.includes('Corrected aloud: {words}')")
    visitor.pick(speed="4")
    assert visitor.outcome
    episode, folder = last_run(served)
    assert episode.turns[-1].observation.instruction == words and episode.run.speech == {}
    heard = events(served, "corrected")[-1]["speech"]
    assert heard["sha256"] in {sha256(file.read_bytes()).hexdigest() for file in folder.glob("correction-*.wav")}


def test_escape_drops_what_is_being_said(visitor):
    visitor.page.fill("#words", "put the red cube in the blue bowl")
    visitor.expect("#read", "press Play")  # not of the words before
    before = visitor.page.inner_text("#read")
    visitor.page.click("#speak")
    visitor.page.wait_for_selector("#speak[aria-pressed=true]")
    visitor.page.keyboard.press("Escape")
    visitor.page.wait_for_selector("#speak[aria-pressed=false]")
    assert visitor.page.inner_text("#read") == before


def test_what_is_refused_is_told_where_it_was_asked_for(visitor):
    """On a phone nothing else is in sight."""
    refuse = """where => {
      wait(where, "Starting …");
      handle({ kind: "refused", run: 0, text: "no" });
      return ["read", "verdict"].filter(id => document.getElementById(id).textContent.trim() === "no");
    }"""
    assert visitor.page.evaluate(refuse, "verdict") == ["verdict"]
    visitor.page.evaluate("document.getElementById('verdict').textContent = ''")
    assert visitor.page.evaluate(refuse, "read") == ["read"]


def test_the_focus_stays_on_a_file_that_is_made(visitor):
    focused = """event => {
      handle({ kind: "gallery", run: 997, outcome: "success", stored: true, can_be_filmed: true, ...event });
      if (event.at_first) document.querySelectorAll("#run-997 button")[1].focus();
      return document.activeElement.textContent;
    }"""
    assert visitor.page.evaluate(focused, {"at_first": True}) == "make GIF"
    assert visitor.page.evaluate(focused, {"making": ["gif"]}) == "making GIF …"
    assert visitor.page.evaluate(focused, {"making": [], "gif": True}) == "GIF"
    visitor.page.evaluate("document.getElementById('run-997').remove()")


def last_run(served) -> tuple[Episode, Path]:
    """The run that was stored last, and its folder."""
    folder = run_folder(served.folder, events(served, "stored")[-1]["run"])
    return read(folder).episodes[-1], folder


def test_hostile_words_stay_words(visitor):
    hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    visitor.page.fill("#words", hostile)
    visitor.page.click("#go")
    visitor.start("#read button")  # nobody can judge it, and it is played all the same
    assert hostile in visitor.page.inner_text("#read")
    assert visitor.outcome
    visitor.page.reload()
    visitor.page.wait_for_selector("#gallery article")
    assert visitor.page.evaluate("window.hacked") is None
    assert visitor.page.locator("#gallery img[src='x'], #read img, #log img").count() == 0


def test_what_takes_a_while_is_told_at_once_and_what_stood_there_comes_back(visitor):
    in_one_go = """([where, kind]) => { // no news of a run comes in between
      const read = () => document.getElementById(where).textContent, told = [read()];
      wait(where, "Starting …");
      told.push(read());
      handle({ kind, run: 0, text: "" });
      return [...told, read()];
    }"""
    for where, news in (("read", "stopped"), ("verdict", "stopped")):
        before, meanwhile, after = visitor.page.evaluate(in_one_go, [where, news])
        assert meanwhile == "Starting …" and after == before
    recognising = """() => {
      const read = () => document.getElementById("read").textContent, told = [read()];
      wait("read", "Recognising …", NEWS_OF_WORDS);
      handle({ kind: "finished", run: -1, outcome: "success" });
      told.push(read());
      quiet = true;
      handle({ kind: "refused", run: 0, text: "" });
      quiet = false;
      return [...told, read()];
    }"""
    before, meanwhile, after = visitor.page.evaluate(recognising)
    assert meanwhile == "Recognising …" and after == before, "a run that ends meanwhile does not hide it"
    loading = """() => {
      handle({ kind: "loading", run: 0, model: "some/model" });
      const told = document.getElementById("read").textContent;
      handle({ kind: "ready", run: 0 });
      return told;
    }"""
    assert visitor.page.evaluate(loading) == "Loading some/model …"


def test_every_text_is_readable_and_every_control_is_reached_by_keyboard(visitor):
    page = visitor.page
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true })")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(UNREADABLE, MIN_CONTRAST) == [], scheme
    shown = """[...document.querySelectorAll("button, select, input, summary, main a")]
      .filter(e => e.checkVisibility({ visibilityProperty: true }))"""
    small = f"least => {shown}.filter(e => e.offsetHeight < least || e.offsetWidth < least).map(e => e.outerHTML)"
    assert page.evaluate(small, MIN_TOUCH_PX) == []
    page.evaluate(f"""() => {{
      window.missed = new Set({shown}.filter(e => !e.disabled));
      window.unseen = [];
      addEventListener("focusin", ({{ target }}) => {{
        missed.delete(target);
        const bare = getComputedStyle(target).outlineStyle === "none" && !target.matches("iframe");
        if (bare) unseen.push(target.outerHTML);
      }});
    }}""")
    for _ in range(2 * page.evaluate("missed.size")):  # the first may be in the middle, where somebody clicked last
        page.keyboard.press("Tab")
    assert page.evaluate("[...missed].filter(e => !e.disabled && e.isConnected).map(e => e.outerHTML)") == []
    assert page.evaluate("unseen") == []


def test_a_narrow_page_does_not_scroll_sideways(visitor):
    visitor.page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true })")
    for text in ("Loading …", "Correct it", "Do it"):
        visitor.page.eval_on_selector("#go", "(button, text) => { button.textContent = text }", text)
        assert visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, text
    if shots := os.environ.get("QWENARM_SCREENSHOTS"):
        visitor.page.screenshot(path=f"{shots}/live-390.png", full_page=True)
