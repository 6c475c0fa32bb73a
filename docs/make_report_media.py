"""Makes docs/media/report-light.png and report-dark.png: the top of a real report, as README shows it.

python docs/make_report_media.py runs/quick-v1
"""

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from qwenarm.report import write_report

MEDIA = Path(__file__).parent / "media"
WIDTH, HEIGHT = 1200, 1240


def main() -> None:
    """Writes the report and photographs its top, light and dark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that `qwenarm eval` has filled")
    args = parser.parse_args()
    with TemporaryDirectory() as folder, sync_playwright() as p:
        index = write_report(args.runs, Path(folder), "none").index
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            tab = browser.new_page(color_scheme=scheme, viewport={"width": WIDTH, "height": HEIGHT})
            tab.goto(index.as_uri())
            path = MEDIA / f"report-{scheme}.png"
            tab.screenshot(path=path)
            print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
