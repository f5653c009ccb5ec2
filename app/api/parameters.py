"""Parameters of a header's value, `; name=value; name="value"`, taken apart but not decoded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """A parameter of a header: its name in lower case, its value as it stood, in or out of quotes.

    What stood in quotes may hold escapes; how to read these is for the caller to know.
    """

    name: str
    value: str
    quoted: bool


_PARAMETER = r""";[ \t]*(?:([^\s=;"]+)[ \t]*=[ \t]*(?:{quoted}|([^";]*)))?[ \t]*"""
_ESCAPING = re.compile(_PARAMETER.format(quoted=r'"((?:[^"\\]|\\.)*)"'))
_PLAIN = re.compile(_PARAMETER.format(quoted=r'"([^"]*)"'))


def parameters(value: str, *, escaping: bool) -> tuple[Parameter, ...] | None:
    r"""The parameters of a header's value, or None where it cannot be read so.

    With ``escaping`` a `\"` does not end a text in quotes (RFC 9110, sec. 5.6.4). Browsers do not
    write it so: to them a backslash is a character like others.
    """
    pattern = _ESCAPING if escaping else _PLAIN
    found = []
    place = value.find(";") if ";" in value else len(value)
    while place < len(value):
        matched = pattern.match(value, place)
        if matched is None:
            return None
        name, in_quotes, bare = matched.groups()
        if name is not None:
            quoted = in_quotes is not None
            text = in_quotes if quoted else bare.strip()
            found.append(Parameter(name.lower(), text, quoted))
        place = matched.end()
    return tuple(found)


def values_of(name: str, found: Sequence[Parameter]) -> list[str]:
    r"""All values of a parameter, with `\"` and the like taken for the character behind."""
    return [
        re.sub(r"\\(.)", r"\1", parameter.value) if parameter.quoted else parameter.value
        for parameter in found
        if parameter.name == name
    ]
