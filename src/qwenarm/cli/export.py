"""The command that hands episodes to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from qwenarm.cli.options import Allowed, arg, out
from qwenarm.registry import names_to_allow, only_allowed


def export(
    source: Positional[
        Annotated[
            Path, arg(metavar="RUN", help="folder of a run or an evaluation; with --check also a LeRobot dataset")
        ]
    ],
    to: Annotated[
        Literal["chat", "lerobot", "rerun", "inspect"],
        arg(help="chat (Parquet for TRL), lerobot (dataset v3.0), rerun (.rrd) or inspect (.eval)"),
    ] = "chat",
    out_path: Annotated[
        Path | None, arg(name="out", metavar="PATH", help="folder of the export; default: RUN/export-FORMAT")
    ] = None,
    successes_only: Annotated[bool, arg(help="leave out episodes that failed")] = False,
    cameras: Annotated[
        str, arg(metavar="CAMERAS", help="cameras in lerobot and rerun, such as front,wrist")
    ] = "front,wrist",
    size: Annotated[tuple[int, int], arg(help="height and width of their pictures, in pixels")] = (240, 320),
    depth: Annotated[bool, arg(help="add depth images, intrinsics and extrinsics to lerobot and rerun")] = False,
    as_recorded: Annotated[
        bool, arg(help="chat and inspect: do not play episodes again to check their outcomes (another machine's)")
    ] = False,
    check: Annotated[bool, arg(help="write nothing; name every damaged episode")] = False,
    allow: Allowed = "",
) -> int:
    """Export episodes for other tools, or name those that are damaged.

    Example: qwenarm export runs/quick --to lerobot --successes-only
    """
    from qwenarm.export.run import check_folder, export_to

    if check:
        problems = check_folder(source)
        out.print(f"{len(problems)} damaged" if problems else "no damage", style="yellow" if problems else "green")
    else:
        with only_allowed(names_to_allow(allow)):
            folder = out_path or source / f"export-{to}"
            done = export_to(source, to, folder, successes_only, cameras, size, depth, as_recorded)
        problems = done.problems
        out.print(done.written)
        out.print_places({"folder": done.path})
    out.warn(problems)
    return 1 if problems else 0
