"""The command demo: the live page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from qwenarm.cli.listening import check_listening
from qwenarm.cli.options import RecognizerName, Seed, arg, out
from qwenarm.errors import BadInput


def demo(
    model: Annotated[
        tuple[str, ...], arg(metavar="MODEL ...", help="models that the page offers; the first is loaded at once")
    ] = ("bundled",),
    host: Annotated[
        str,
        arg(metavar="ADDRESS", help="address to listen on; 0.0.0.0 lets in other machines that have the link's token"),
    ] = "127.0.0.1",
    port: Annotated[int, arg(help="port; 0 takes any that is free")] = 8000,
    seed: Seed = 0,
    replay: Annotated[Path | None, arg(metavar="PATH", help="folder of recorded episodes to watch")] = None,
    watch: Annotated[
        Path | None,
        arg(metavar="PATH", help="folder that `qwenarm run` or `eval --journal PATH` writes, to watch it live"),
    ] = None,
    kiosk: Annotated[bool, arg(help="play a tour of all tasks until somebody touches the page")] = False,
    recognizer: RecognizerName = "pocketsphinx",
    browser: Annotated[bool, arg(help="open a browser")] = True,
    out_folder: Annotated[
        Path | None, arg(name="out", metavar="PATH", help="folder of the session; default: runs/TIME-live")
    ] = None,
) -> int:
    """Open the live page: tell the arm what to do, watch it in 3-D, and see why it failed.

    Example: qwenarm demo

    Example: qwenarm demo --kiosk --no-browser --host 0.0.0.0
    """
    require_live_page()
    check_listening(host, port)
    if not all(model) or not model:
        raise BadInput("--model takes at least one model, such as bundled.")
    import asyncio
    import signal
    import webbrowser

    from qwenarm.api.episodes import new_folder
    from qwenarm.live.hub import LivePage
    from qwenarm.live.journal import JOURNAL_FILE

    if watch is not None and not (watch / JOURNAL_FILE).is_file():
        raise BadInput(f"There is no journal in {watch}: start `qwenarm run --journal {watch}` (or eval) first.")
    folder = watch or out_folder or new_folder("live")

    def ready(link: str) -> None:
        out.print_places({"page": link, "session": folder})
        out.print("Ctrl-C ends it.")
        if browser:
            webbrowser.open(link)

    async def serve() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):  # not by an exception wherever the program just is
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await page.run(ready)

    page = LivePage(folder, model, host, port, seed, replay, watch is not None, kiosk, recognizer)
    try:
        asyncio.run(serve())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except OSError as error:
        raise BadInput(f"Cannot listen on {host}:{port}: {error.strerror}; choose another --port.") from error
    return 0


def require_live_page() -> None:
    """Raises BadInput where the packages of the live page are missing."""
    missing = next((name for name in ("viser", "mjviser") if find_spec(name) is None), None)
    if missing:
        raise BadInput(f"The live page needs {missing}; install it with `pip install 'qwenarm[demo]'`.")
