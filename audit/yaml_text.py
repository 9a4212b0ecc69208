"""YAML that others wrote: read within bounds, each key once, and no value that cannot be."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 40
MAX_NODES: Final = 100_000
"""Keys and values, each alias counted as all that it stands for."""

_STANDARD = "tag:yaml.org,2002:"
_KINDS = ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value")


class UnreadableYamlError(ValueError):
    """The text is no YAML, or holds what none of our files needs; the message says where."""


def load_yaml(text: str) -> Any:
    """Read one YAML document of plain values.

    Raises
    ------
    UnreadableYamlError
        No YAML; a key twice; brackets nested too deep; aliases that multiply, or stand within
        themselves; a number or date that cannot be.
    """
    try:
        loader = _Bounded(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, {}, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UnreadableYamlError(str(error)) from error
    except RecursionError as error:
        raise UnreadableYamlError("nested too deep") from error


class _Bounded(yaml.SafeLoader):
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                raise UnreadableYamlError(
                    f"line {self.line + 1}: nested more than {MAX_DEPTH} levels deep"
                )
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except UnreadableYamlError:
            raise
        except (ValueError, OverflowError) as error:
            value = str(node.value)
            shown = value if len(value) <= 40 else f"{value[:39]}…"
            raise UnreadableYamlError(
                f"line {node.start_mark.line + 1}: {shown!r} is no number, date or time that can "
                "be; put text in quotes"
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            # `<<` may stand several times; what it brings gives way to what is written.
            if name in seen and not key.tag.endswith(":merge"):
                raise UnreadableYamlError(
                    f"line {key.start_mark.line + 1}: the key {key.value!r} twice"
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _measure(
    node: yaml.Node, known: dict[int, tuple[int, int]], within: set[int]
) -> tuple[int, int]:
    """Count the nodes and the levels of a document with every alias written out."""
    identity, line = id(node), f"line {node.start_mark.line + 1}"
    if identity in within:
        raise UnreadableYamlError(f"{line}: an anchor that stands within itself")
    if identity not in known:
        if node.tag.removeprefix(_STANDARD) not in _KINDS:
            raise UnreadableYamlError(
                f"{line}: expected plain values, found one tagged {node.tag!r}"
            )
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        found = [_measure(child, known, within | {identity}) for child in children]
        size = 1 + sum(size for size, _ in found)
        depth = 1 + max((depth for _, depth in found), default=0)
        if size > MAX_NODES or depth > MAX_DEPTH:
            raise UnreadableYamlError(
                f"{line}: with its aliases written out, more than {MAX_NODES:,} values or "
                f"{MAX_DEPTH} levels"
            )
        known[identity] = size, depth
    return known[identity]
