# SPDX-License-Identifier: BSD-3-Clause
"""What flags mean and how to cure them. README's table of flags is the one place where that is written; it is read
here, so that a report cannot say something else than the README.
"""

import re
from functools import cache
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


@cache
def documented(readme: Path = README) -> dict[str, tuple[str, str]]:
    """flag: (what it means, its cure), of the rows `| flag | means | cure |` below the heading Flags. Empty without a
    README."""
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError:
        return {}
    section = re.split(r"^#+ ", text.partition("\n### Flags\n")[2], maxsplit=1, flags=re.M)[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", section, re.M)
    return {flag: (means.strip(), cure.strip()) for flag, means, cure in rows}
