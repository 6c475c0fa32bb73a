"""A person with a browser at the live page."""

from typing import Any

PATIENCE_MS = 180_000
"""A busy machine may need a minute to load the model; only what never happens takes this long."""
IGNORED_ERRORS = ("Failed to load resource", "Unable to preventDefault inside passive event listener")
"""A test may name no picture; and viser's scene handles a drag in a way that Chromium remarks upon."""


class Visitor:
    """A person with a browser of their own. complaints: errors, and requests that leave the machine."""

    def __init__(self, browser: Any, link: str, scene: bool = False) -> None:
        """scene: whether the 3-D scene is drawn, which takes a CPU most of its time."""
        self.context = browser.new_context(viewport={"width": 390, "height": 500}, reduced_motion="reduce")
        self.page, self.complaints = self.context.new_page(), list[str]()
        if not scene:
            self.page.route("**/scene/", lambda route: route.fulfill(body="", content_type="text/html"))
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._check)
        self.page.on("websocket", self._check)
        self.origin = link.split("?")[0].split("//")[1].rstrip("/")
        self.page.goto(link)
        self.page.wait_for_selector("#examples button")

    def _check(self, request: Any) -> None:
        if not request.url.startswith((f"http://{self.origin}/", f"ws://{self.origin}/", "data:", "blob:")):
            self.complaints.append(request.url)

    def _hear(self, told: Any) -> None:
        if told.type == "error" and not told.text.startswith(IGNORED_ERRORS):
            self.complaints.append(told.text)

    def pick(self, **values: str) -> None:
        """Chooses in the pickers."""
        self.page.eval_on_selector("#setup", "details => { details.open = true }")
        for name, value in values.items():
            self.page.select_option(f"#{name}", value)

    def start(self, button: str) -> None:
        """Clicks on a button that starts a run, and waits until it is played: a number that only grows tells."""
        last = self.page.get_attribute("body", "data-run") or "0"
        self.page.click(button)
        self.page.wait_for_function("last => Number(document.body.dataset.run ?? 0) > last", arg=int(last))

    def say(self, words: str) -> None:
        """Types an instruction."""
        self.page.fill("#words", words)
        self.start("#go")

    def correct(self, words: str) -> None:
        """Types a correction."""
        self.page.fill("#words", words)
        self.page.click("#go")

    def expect(self, selector: str, text: str) -> None:
        """Waits until an element contains a text."""
        self.page.locator(selector, has_text=text).first.wait_for()

    def stop(self) -> None:
        """Stops what is played, if it has not ended by itself meanwhile."""
        self.page.eval_on_selector("#stop", "button => button.click()")
        self.page.wait_for_selector("body[data-playing=false]")

    def pause(self, on: bool) -> None:
        """Presses Pause once the page shows that it would change something."""
        self.page.click(f"#pause[aria-pressed={str(not on).lower()}]")

    @property
    def outcome(self) -> str:
        self.page.wait_for_selector("#outcome:not([hidden])")
        run = self.page.get_attribute("body", "data-run")
        self.page.wait_for_selector(f"#run-{run} a")  # stored: its files can be read
        return self.page.inner_text("#outcome")
