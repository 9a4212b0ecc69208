"""What a JSON schema allows, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

WORDS = {"string": "text", "integer": "whole number", "number": "number", "object": "mapping"}


def kind(schema: Mapping[str, Any]) -> str:
    """What may stand there, in words; null is left to the default.

    Examples
    --------
    >>> kind({"anyOf": [{"const": "auto"}, {"type": "integer"}, {"type": "null"}]})
    '`auto` or whole number'
    """
    if "anyOf" in schema:
        branches = [kind(branch) for branch in schema["anyOf"] if branch.get("type") != "null"]
        return " or ".join(branches)
    if "$ref" in schema or "allOf" in schema:
        return "section"
    if values := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{value}`" for value in values)
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            many, one = len(schema["prefixItems"]), kind(schema["prefixItems"][0])
            return f"list of {many} {one}{'s' if many > 1 else ''}"
        return f"list of {kind(schema['items'])}"
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    return WORDS[schema["type"]]


def bounds(schema: Mapping[str, Any]) -> str:
    """Its range, in words; empty where there is none.

    Examples
    --------
    >>> bounds({"minimum": 1, "maximum": 32}), bounds({"exclusiveMinimum": 0})
    ('1 to 32', 'above 0')
    """
    for branch in schema.get("anyOf", ()):
        if found := bounds(branch):
            return found
    below, above = schema.get("exclusiveMaximum"), schema.get("exclusiveMinimum")
    least = schema.get("minimum", schema.get("minLength"))
    most = schema.get("maximum", schema.get("maxLength"))
    unit = " characters" if "maxLength" in schema else ""
    if least is not None and most is not None:
        return f"{least} to {most}{unit}"
    parts = [
        f"{word} {_power(value)}"
        for word, value in (("from", least), ("above", above), ("to", most), ("below", below))
        if value is not None
    ]
    return ", ".join(parts)


def _power(value: float) -> str:
    exponent = value.bit_length() - 1 if isinstance(value, int) and value > 2**31 else 0
    return f"2^{exponent}" if exponent and value == 2**exponent else f"{value:g}"


def default_of(value: Any, schema: Mapping[str, Any]) -> str:
    """What holds where nothing is written; empty for a section."""
    if "$ref" in schema or "allOf" in schema:
        return ""
    if value is None:
        return "none"
    return f"`{yaml.safe_dump(value, default_flow_style=True).replace('...', '').strip()}`"
