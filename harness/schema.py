# SPDX-License-Identifier: BSD-3-Clause
"""Checks TOML tables against a table of fields, with errors that say file, key, what is allowed, and the nearest name.

Pure: takes parsed tables and gives plain dicts with every default filled in.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput


@dataclass(frozen=True)
class Field:
    """One key: its type, what is allowed, and its default (None: no default, the key must be there)."""

    type: type
    default: Any = None
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    many: bool = False          # a list of values is welcome too; the result is then always a tuple
    required: bool = False

    def allowed(self) -> str:
        """In words, for the error."""
        if self.choices:
            what = "one of " + ", ".join(map(str, self.choices))
        elif self.low is not None or self.high is not None:
            what = f"{_names[self.type]} from {self.low:g} to {self.high:g}"
        else:
            what = _names[self.type]
        return what + (", or a list of such" if self.many else "")


_names = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", dict: "a table"}


TOML_MAX_BYTES = 1 << 20


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file. Raises BadInput, also for a file that is missing or no TOML."""
    try:
        if path.exists() and not path.is_file():
            raise BadInput(f"{path}: cannot be read: it is no file")
        if path.exists() and path.stat().st_size > TOML_MAX_BYTES:
            raise BadInput(f"{path}: has over {TOML_MAX_BYTES} bytes: that is no scenario, suite or testbed")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file{_similar_file(path)}") from None
    except (OSError, ValueError) as error:              # ValueError: no UTF-8, or no path at all
        raise BadInput(f"{path}: cannot be read: {error}") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:       # not always TOMLDecodeError: a number of 5000 digits, say
        raise BadInput(f"{path}: not TOML: {error}") from None


def _similar_file(path: Path) -> str:
    folder = path.parent
    names = [p.name for p in folder.glob("*.toml")] if folder.is_dir() else []
    return _did_you_mean(path.name, names)


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def check_keys(where: str, table: Mapping[str, Any], known: list[str]) -> None:
    """Refuse keys that are not known."""
    for key in table:
        if key not in known:
            hint = _did_you_mean(key, known) or f"; known are {', '.join(known)}"
            raise BadInput(f"{where}: unknown key '{key}'{hint}")


def check_table(where: str, table: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Values of `table` by `fields`, defaults filled in. `where` is "file: [table]" for the errors."""
    if not isinstance(table, Mapping):
        raise BadInput(f"{where}: must be a table, not {table!r}")
    check_keys(where, table, list(fields))
    return {key: _check_field(f"{where}: key '{key}'", table, key, field) for key, field in fields.items()}


def _check_field(where: str, table: Mapping[str, Any], key: str, field: Field) -> Any:
    if key not in table:
        if field.required:
            raise BadInput(f"{where} is missing: it must be {field.allowed()}")
        return field.default
    value = table[key]
    if not field.many:
        return _check_value(where, value, field)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise BadInput(f"{where} is an empty list: it must be {field.allowed()}")
    checked = tuple(_check_value(where, v, field) for v in values)
    if len(set(checked)) != len(checked):
        raise BadInput(f"{where} lists a value twice: {value}")
    return checked


def _check_value(where: str, value: Any, field: Field) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = is_number if field.type is float else isinstance(value, field.type)
    good = good and (field.type is bool or not isinstance(value, bool))
    if good and field.choices and value not in field.choices:
        hint = _did_you_mean(str(value), [str(c) for c in field.choices])
        raise BadInput(f"{where} is {value!r}: allowed is {field.allowed()}{hint}")
    if good and is_number and not (_at_least(value, field.low) and _at_most(value, field.high)):
        good = False
    if not good:
        raise BadInput(f"{where} is {value!r}: allowed is {field.allowed()}")
    return float(value) if field.type is float else value


def _at_least(value: float, low: float | None) -> bool:
    return low is None or value >= low


def _at_most(value: float, high: float | None) -> bool:
    return high is None or value <= high


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the tables of `over` laid on it, key by key."""
    result: dict[str, Any] = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


