# SPDX-License-Identifier: BSD-3-Clause
"""The table at the end of a run, for people. Drawn by rich."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from harness import search
from harness.run import Outcome, headline, quantity

MARKS = {"oversubscribed": "o", "tcg": "t", "no_vhost_net": "", "generic_xdp": "", "backpressure": "",
         "stale_frames": "", "not_saturated": "", "generator_limited": "g", "clock": "!", "tester_drops": "d",
         "not_drained": "n", "foreign_frames": "f",
         "window_exceeded": "w", "identity": "!", "stalled": "s", "late": "l",
         "crossed_flows": "x", "lower_bound": ">", "repeated": "r", "irregular": "?", "capped": ">",
         "search_limit": "?", "below_width": "", "unstable": "u", "drift": "~", "blocks_missing": "b", "suspect": "a",
         "switch_silent": "h", "skewed": "k"}


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """One row a topology and frame size, one column a switch: R+ in Mpps per direction, and latency."""
    switches = list(dict.fromkeys(o.cell.switch.name for o in outcomes))
    named = list(dict.fromkeys(search.headline(o.cell.search)[1] for o in outcomes))
    what = named[0] if len(named) == 1 else "rates of " + ", ".join(named)
    trips = "; of round trips where it says so" if any(o.cell.topology.reflects for o in outcomes) else ""
    table = Table(title=f"{what[:1].upper()}{what[1:]} in Mpps per direction; below it one-way latency p50 / p99 in us "
                  f"at half of R+{trips}")
    table.add_column("cell")
    for name in switches:
        table.add_column(name, justify="right")
    rows: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        scenario = "" if len(named) == 1 else f"{outcome.cell.scenario}: "
        rows.setdefault(scenario + outcome.cell.title, {})[outcome.cell.switch.name] = outcome
    for title, by_switch in rows.items():
        table.add_row(title, *(_cell(by_switch.get(name)) for name in switches))
    console.print(table)
    for why in dict.fromkeys(f"n/a: {o.reason}" for o in outcomes if o.status == "unsupported"):
        console.print(why, style="dim", markup=False, soft_wrap=True)
    used = {flag for o in outcomes for flag in o.flags if MARKS.get(flag)}
    if used:
        marks = ", ".join(f"{MARKS[flag]} = {flag}" for flag in sorted(used))
        console.print(f"marks: {marks}  (README: Flags)", style="dim")


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not measured"
    if outcome.status == "unsupported":
        return "n/a"
    if outcome.status == "failed":
        return "[bold red]failed[/]"
    values = {r.metric: r.value for r in outcome.results}
    rate = headline(outcome)[1]
    if rate is None or rate.value is None:
        return "[bold red]none[/]" if rate and rate.status == "ok" else "[bold red]invalid[/]"
    marks = "".join(sorted({MARKS.get(flag, "?") for flag in outcome.flags}))
    text = f"{quantity(rate, unit=False)}{' ' + marks if marks else ''}"
    p50, p99 = values.get("latency_p50_ns@0.50rplus"), values.get("latency_p99_ns@0.50rplus")
    if p50 is not None:
        text += f"\n[dim]{p50 / 1e3:.1f} / {'-' if p99 is None else f'{p99 / 1e3:.1f}'}[/]"
    return text
