# SPDX-License-Identifier: BSD-3-Clause
"""Options of a switch: what a driver lets people set (Driver.options), as `[switch.NAME] options = {key = value}` of a
testbed says it, or `--switch NAME=DRIVER@PREFIX,key=value`. Two settings of one switch are compared as two versions are.
Pure.
"""

from collections.abc import Mapping
from typing import Any

from harness.errors import BadInput
from harness.schema import Field, check_table


def complete(fields: Mapping[str, Field], chosen: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Every key with its value, for Site.options."""
    return {key: field.default for key, field in fields.items()} | dict(chosen)


def checked(where: str, fields: Mapping[str, Field], given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What differs from the defaults, sorted by key. BadInput, which begins with `where`."""
    values = check_table(f"{where}: options", given, fields)
    return tuple(sorted((key, value) for key, value in values.items() if value != fields[key].default))


def typed(where: str, fields: Mapping[str, Field], text: str) -> dict[str, Any]:
    """"key=value,key=value" as values of the types of `fields`; a key without a value is true. BadInput."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if key in found:
            raise BadInput(f"{where}: option '{key}' comes twice")
        kind = fields[key].type if key in fields else str       # what is not known is refused by checked()
        try:
            found[key] = _VALUES[kind](value if equals else "true")
        except (KeyError, ValueError):
            raise BadInput(f"{where}: option '{part}': allowed is {key}={fields[key].allowed()}") from None
    return found


_VALUES: Mapping[type, Any] = {str: str, int: int, float: float,
                               bool: lambda text: {"true": True, "false": False}[text]}


def said(options: tuple[tuple[str, Any], ...]) -> str:
    """For people, and for the version column: "forward=macswap"."""
    return ",".join(f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in options)
