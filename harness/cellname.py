# SPDX-License-Identifier: BSD-3-Clause
"""A cell in words, for people: in reports, figures and comparisons. Pure."""

from collections.abc import Mapping

from harness import nfs
from harness.topology import way


def cell_name(columns: Mapping[str, str], with_sizes: bool = True) -> str:
    """A cell without its switch, by the columns of its rows: all in which cells differ, so that two have two names.
    with_sizes: with frame size and number of flows."""
    def get(name: str, usual: str = "") -> str:
        value = (columns.get(name) or "").strip()
        return "" if value == usual else value

    parts = [get("topology"), way(get("topology"), get("direction")),
             f"{guest} guest" if (guest := get("guest", "none")) else "",
             nfs.chain_text(get("chain_length"), get("nf")), f"idle {idle}" if (idle := get("idle")) else "",
             f"{get('frame_bytes')} B" if get("frame_bytes") and with_sizes else "",
             f"{flows} flows" if with_sizes and (flows := get("flows", "1")) else "",
             get("port_kind", "vhost-user"), get("variant"), f"traffic {text}" if (text := get("traffic")) else ""]
    return " ".join(filter(None, parts))
