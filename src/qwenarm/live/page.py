"""The HTML of the live page: one file, with its style and script inside."""

from __future__ import annotations

from qwenarm.display import html


def live_page() -> tuple[str, str]:
    """The page and its Content-Security-Policy, which lets it run this script alone and load nothing from elsewhere."""
    style, script = html.style() + html.asset("live.css"), html.asset("live.js")
    policy = (
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; "
        f"style-src {html.csp_hash(style)}; script-src {html.csp_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    # Browsers obey frame-ancestors in the header only.
    return html.render("live", style=style, script=script, policy=policy), f"{policy}; frame-ancestors 'none'"
