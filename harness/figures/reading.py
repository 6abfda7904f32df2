# SPDX-License-Identifier: BSD-3-Clause
"""CSV files of a run to rows. They are not trusted: numbers are parsed, text is cleaned, damaged rows are named and
left out. Pure.
"""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple


class FigureError(Exception):
    """A figure cannot be drawn. str() is one line for people: what failed, where, what to try."""


class NotDrawn(FigureError):
    """The run has no data for this figure. str() says what it lacks."""


class Row(NamedTuple):
    """One record: its line number (1 is the header), its fields by column name, and the file that it is of."""

    line: int
    fields: dict[str, str]
    file: str = "results.csv"

    def __getitem__(self, column: str) -> str:
        return self.fields[column].strip()

    def get(self, column: str) -> str:
        """The field of a column that later versions brought; empty where there is none."""
        return self.fields.get(column, "").strip()


class Results(NamedTuple):
    rows: list[Row]
    warnings: list[str]     # one line each, naming the row that was left out


def read_results(text: str, columns: Sequence[str], file: str = "results.csv") -> Results:
    """Parse RFC 4180 text with a header row. Columns may come in any order and more may follow.

    A record with another number of fields than the header, and a last record without a line end, may be cut off: it is
    left out and named. Raises FigureError when the text is empty, one of `columns` is missing or comes twice.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    warnings: list[str] = []
    last_whole = text.endswith(("\n", "\r"))
    total = len(text.splitlines())
    while True:
        first_line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            warnings.append(f"{file} line {first_line}: not CSV ({error}); left out")
            continue
        if not record:
            continue
        if header is None:
            header = [name.strip() for name in record]
            _check_header(header, columns, file)
        elif len(record) != len(header):
            warnings.append(f"{file} line {first_line}: cut off or damaged, {len(record)} fields where the header "
                            f"has {len(header)}; left out")
        elif reader.line_num >= total and not last_whole:
            warnings.append(f"{file} line {first_line}: the last line has no line end, so it may be cut off; "
                            "left out")
        else:
            rows.append(Row(first_line, dict(zip(header, record)), file))
    if header is None:
        raise FigureError(f"{file} is empty: the run wrote nothing; look at its logs/ and run it again")
    return Results(rows, warnings)


def _check_header(header: Sequence[str], columns: Sequence[str], file: str) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise FigureError(f"{file} lacks the column{'s'[:len(missing) > 1]} {', '.join(missing)}: is it the "
                          f"{file} of a run, and of this schema_version?")
    double = [name for name in columns if header.count(name) > 1]
    if double:
        raise FigureError(f"{file} has the column {double[0]} twice: which one is meant cannot be told")


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def number(text: str) -> float | None:
    """A finite decimal number, or None. Not nan, inf, 1_000 or 0x10."""
    text = text.strip()
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def whole(text: str) -> int | None:
    """A number of at most nine digits, without sign, or None."""
    text = text.strip()
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def clean(text: str, limit: int = 40) -> str:
    """A name as it is shown: one line, no control or invisible characters, at most `limit` characters."""
    shown = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c
                    for c in text.strip())
    return shown if len(shown) <= limit else shown[:limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
