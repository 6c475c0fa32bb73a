"""The command that says what works with an arm: arm check."""

from __future__ import annotations

from typing import Annotated, Literal

from tyro.conf import Positional

from qwenarm.cli.options import arg, out


def arm(
    action: Positional[Annotated[Literal["check"], arg(help="what to do with the arm")]],
    name: Positional[Annotated[str, arg(metavar="ARM", help="an MJCF or URDF file, or an arm as in --arm")]],
) -> int:
    """Say what works with an arm, and which tasks are out of its reach. The exit code is 1 if it cannot be used.

    Example: qwenarm arm check menagerie:kuka_iiwa_14
    """
    from rich.table import Table
    from rich.text import Text

    from qwenarm.body.reach import measure_reach
    from qwenarm.diagnosis.arm_check import check_arm, reach_map
    from qwenarm.registry import load

    entry = load("arms", name)
    findings = list(check_arm(entry))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    for finding in findings:
        mark = ("ok", "green") if finding.ok else ("FAILS", "red") if finding.needed else ("note", "yellow")
        table.add_row(Text(*mark), finding.name, finding.detail)
    out.print(table)
    out.print(
        f"\nWhere the hand reaches, from above, the robot below ({entry.name}):\n{reach_map(measure_reach(entry))}"
    )
    broken = [finding.name for finding in findings if finding.needed and not finding.ok]
    out.print(f"\nThis arm cannot be used: {', '.join(broken)}." if broken else "\nThis arm can be used.")
    return 1 if broken else 0
