"""The page is one file that shows everything, asks nobody for anything and cannot be broken by what a model says."""

import hashlib
import os
import re
from base64 import b64encode
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from qwenarm.display import episode_page as page
from qwenarm.display import html
from qwenarm.errors import BadInput
from qwenarm.mind import families
from qwenarm.mind.prompt import presets
from qwenarm.mind.prompt.messages import frame_sizes, history_text, to_prompt
from qwenarm.types import (
    Completion,
    Decision,
    Episode,
    FormatError,
    Frame,
    ImagePoint,
    Observation,
    Outcome,
    Prompt,
    Proprio,
    RunConfig,
    RunInfo,
    SkillCall,
    SkillResult,
    Turn,
)

EVIL = '</pre><script>alert("x")</script><img src=http://example.com/x.png onerror=alert(1)>'


def picture(seed: int) -> np.ndarray:
    """Three coloured squares on a grey gradient, (224, 320, 3)."""
    rgb = np.linspace(150, 190, 224)[:, None, None].repeat(320, 1).repeat(3, 2).astype(np.uint8)
    for color, x, y in (((210, 60, 50), 80, 60), ((50, 90, 200), 200, 120), ((60, 160, 80), 120 + seed, 170)):
        rgb[y : y + 26, x : x + 26] = color
    return rgb


def turn(index: int, decision: Decision, *results: SkillResult) -> Turn:
    proprio = Proprio(np.zeros(7), np.zeros(3), np.zeros(4), 0.08, False)
    frames = (Frame(picture(index * 20), "front"), Frame(picture(40), "wrist"))[: 1 + index % 2]
    messages = ({"role": "system", "content": "You drive an arm."}, {"role": "user", "content": [{"type": "image"}]})
    return Turn(
        index,
        Observation(frames, proprio, "put it", index * 4.2),
        decision,
        results,
        completions=(Completion(decision.raw, 0.4, 310, 32),),
        prompts=(Prompt(messages, (frames[0].rgb,), ({"type": "function", "function": {"name": "pick"}},)),),
        seconds={"model": 0.42, "physics": 0.11, "render": 0.05, "skill": 0.04, "other": 0.004},
        sim_time_s=4.2,
        clamps={"velocity": 3} if index == 1 else {},
        progress=(0.0, 0.5, 1.0)[min(index, 2)],
    )


def an_episode(words: str = "put the red cube in the blue bowl") -> Episode:
    red, blue = ImagePoint(0.29, 0.33, "red cube"), ImagePoint(0.94, 0.59, "blue bowl", "wrist")
    pick, place = SkillCall("pick", {"at": red}), SkillCall("place", {"at": blue})
    arguments = '{"at": {"label": "red cube", "point_2d": [290, 330]}}'
    raw = f'<tool_call>\n{{"name": "pick", "arguments": {arguments}}}\n</tool_call>'
    turns = (
        turn(0, Decision(error=FormatError.NO_CALL, detail="the answer has no <tool_call>", raw=EVIL)),
        turn(1, Decision((pick, place), "The cube is free.", raw), SkillResult(False, "nothing between the fingers")),
        turn(
            2,
            Decision((pick, place, SkillCall("done")), "", raw),
            SkillResult(True),
            SkillResult(True),
            SkillResult(True),
        ),
    )
    run = RunInfo(RunConfig(words=words), 7, cameras=("front",), versions={"mujoco": "3.10.0"})
    return Episode(run, words, turns, Outcome.SUCCESS, 1.0, "ab" * 32, last_frames=(Frame(picture(60), "front"),))


def text_of(episode: Episode) -> str:
    return html.render("episode", **page.page_values(episode))


def test_everything_that_was_said_and_done_is_there():
    shown = text_of(an_episode())
    for text in (
        "red cube",
        "nothing between the fingers",
        "no tool call",
        "The cube is free.",
        "success",
        "velocity ×3",
    ):
        assert text in shown
    assert "qwenarm run &#39;put the red cube in the blue bowl&#39; --level 1 --seed 7" in shown
    assert "versions.mujoco" in shown and "ab" * 32 in shown
    assert shown.count("data:image/png;base64,") == 5  # with the last one, after the last turn


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hostile(episode: Episode) -> Episode:
    """Every text that a model, a server, a visitor or a ledger may have written is EVIL."""
    evil_call = SkillCall(EVIL, {EVIL: ImagePoint(0.5, 0.5, EVIL, "front")})
    message = {"role": EVIL, "content": [{"type": "text", "text": f"Task: {EVIL}\nHistory: {EVIL}"}, {"type": EVIL}]}
    turns = tuple(
        replace(
            turn,
            decision=Decision((evil_call,), EVIL, EVIL, None, EVIL, (EVIL,)),
            results=(SkillResult(False, EVIL),),
            completions=(Completion(EVIL),),
            prompts=(Prompt((message, message, message), (), ({"name": EVIL},)),),
            clamps={EVIL: 1},
            observation=replace(turn.observation, frames=(Frame(picture(0), EVIL),)),
        )
        for turn in episode.turns
    )
    config = RunConfig(EVIL, arm=EVIL, policy=EVIL, model=EVIL, altitude=EVIL, words=EVIL, cameras=EVIL)
    evil = {EVIL: EVIL}
    run = RunInfo(config, 7, EVIL, evil, (EVIL,), EVIL, evil, watcher_failures=(EVIL,))
    words, last = dict.fromkeys(("instruction", "final_hash", "detail"), EVIL), (Frame(picture(0), EVIL),)
    return replace(episode, run=run, turns=turns, last_frames=last, **words)


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.CRASHED])
def test_no_text_becomes_markup_and_nothing_is_fetched(outcome):
    plain, evil = an_episode(), hostile(an_episode())
    tags = Tags(text_of(replace(evil, outcome=outcome))).found
    assert {tag for tag, _ in tags} <= {tag for tag, _ in Tags(text_of(replace(plain, outcome=outcome))).found}
    assert [tag for tag, _ in tags].count("script") == 1
    for tag, attributes in tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    assert "url(" not in text_of(plain) and "@import" not in text_of(plain)


def test_the_policy_of_the_page_allows_its_own_script_and_style_alone():
    shown = text_of(an_episode())
    (policy,) = (a["content"] for tag, a in Tags(shown).found if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules["default-src"] == "'none'" and "unsafe" not in str(policy)
    for tag in ("script", "style"):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", shown, flags=re.DOTALL)
        digest = b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_the_history_is_what_the_model_has_read():
    """Whatever the prompt makes of the past, the page shows it."""
    family, preset, specs = families.family_named("qwen3_vl"), presets.BUNDLED_PRESET, ()
    turns = an_episode().turns
    for count in range(3):
        prompt = to_prompt(turns[0].observation, turns[:count], specs, family, preset)
        scale = family.codec, frame_sizes(turns[0].observation, preset)
        told = history_text(turns[:count], preset.history, scale=scale)
        assert page.read_history(prompt) == told
        shown = text_of(replace(an_episode(), turns=(replace(turns[0], prompts=(prompt,)),)))
        assert re.search(rf"<h3>Read as history</h3><p[^>]*>{re.escape(escape(told))}</p>", shown)
    dialogue = ({"role": role, "content": role.upper()} for role in ("system", "user", "assistant", "tool", "user"))
    assert page.read_history(Prompt(tuple(dialogue))) == "user: USER\nassistant: ASSISTANT\ntool: TOOL"


def test_half_a_character_in_an_old_trace_is_a_question_mark(tmp_path):
    odd = SkillCall("pick", {"at": ImagePoint(0.5, 0.5, "bad \ud83d"), "words": "hi \ude42"})
    episode = replace(an_episode("put \ud800"), turns=(turn(0, Decision((odd,), raw="\ud83d")),))
    shown = page.write_page(episode, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "bad ?" in shown and "hi ?" in shown and "put ?" in shown


def test_nothing_that_was_said_reverses_or_hides_the_text_of_the_page(tmp_path):
    odd = SkillCall("pick", {"at": ImagePoint(0.5, 0.5, "red\u202e eb\u2066uc\x1b[31m\x9b")})
    episode = replace(an_episode("put\u202e"), turns=(turn(0, Decision((odd,), raw="\u200fraw\x07 a\tb\n<b>")),))
    shown = page.write_page(episode, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "red ebuc[31m" in shown and "raw a\tb\n&lt;b&gt;" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown)


def test_a_crash_shows_its_traceback_and_no_turns():
    shown = text_of(replace(an_episode(), turns=(), outcome=Outcome.CRASHED, detail="Traceback: <boom>"))
    assert "Traceback: &lt;boom&gt;" in shown and "No turn was played" in shown


def test_points_stay_in_the_picture_and_only_on_their_camera():
    shown = text_of(an_episode())
    assert shown.count(">1 red cube<") == 2
    assert shown.count(">2 blue bowl<") == 1  # only turn 2 shows the wrist


def test_small_films_are_inside_and_long_ones_are_linked(tmp_path, monkeypatch):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"12345")
    assert "data:video/mp4;base64,MTIzNDU=" in page.write_page(an_episode(), tmp_path / "a.html", film).read_text()
    monkeypatch.setattr(page, "EMBED_BYTES", 4)
    shown = page.write_page(an_episode(), tmp_path / "pages" / "b.html", film).read_text()
    assert 'src="../film.mp4"' in shown


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Cannot write the page"):
        page.write_page(an_episode(), tmp_path / "file" / "page.html")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_errors_or_sideways_scrolling(tmp_path: Path, browser, scheme, width):
    path = page.write_page(an_episode("put " + "a very long word " * 12 + "x" * 120), tmp_path / "page.html")
    complaints: list[str] = []
    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    tab.goto(path.as_uri())
    images = tab.evaluate("[...document.images].map(i => i.naturalWidth)")
    overflow = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    marks = tab.evaluate(
        "[...document.querySelectorAll('figure text')].every(t => {"
        "const a = t.getBoundingClientRect(), b = t.closest('figure').getBoundingClientRect();"
        "return a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1})"
    )
    slider = tab.get_by_label("Go to")
    slider.focus()
    for _ in range(9):
        slider.press("ArrowRight")
    current = tab.locator(".turn.current header b").inner_text()
    followed = tab.locator(".stage .still figcaption").inner_text()
    if shots := os.environ.get("QWENARM_SCREENSHOTS"):
        tab.screenshot(path=f"{shots}/page-{scheme}-{width}.png", full_page=True)
    tab.close()
    assert complaints == [] and overflow <= 0 and marks
    assert len(images) == 5 + 1 and all(w == 320 for w in images)  # the first one is shown on the stage, too
    assert current == "After the last turn" and followed.startswith("front")
