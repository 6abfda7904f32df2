# SPDX-License-Identifier: BSD-3-Clause
"""CSV files of a run to rows. They are not trusted: numbers are parsed, text is cleaned, damaged rows are named and
left out. Pure.
"""

import io
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from harness.results import number, records, whole

__all__ = ["FigureError", "NotDrawn", "Results", "Row", "clean", "number", "read_results", "whole"]


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
    header: list[str] | None = None
    rows: list[Row] = []
    warnings: list[str] = []
    for line, record, has_end in records(io.StringIO(text, newline="")):
        if record is None:
            warnings.append(f"{file} line {line}: not CSV; left out")
        elif header is None:
            header = [name.strip() for name in record]
            _check_header(header, columns, file)
        elif len(record) != len(header):
            warnings.append(f"{file} line {line}: cut off or damaged, {len(record)} fields where the header "
                            f"has {len(header)}; left out")
        elif not has_end:
            warnings.append(f"{file} line {line}: the last line has no line end, so it may be cut off; "
                            "left out")
        else:
            rows.append(Row(line, dict(zip(header, record)), file))
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


def clean(text: str, limit: int = 40) -> str:
    """A name as it is shown: one line, no control or invisible characters, at most `limit` characters."""
    shown = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c
                    for c in text.strip())
    return shown if len(shown) <= limit else shown[:limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
