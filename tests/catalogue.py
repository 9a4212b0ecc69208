"""What of the report is to be translated, found in the sources themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment, nodes

import audit.report
import report_templates

TEMPLATES = Path(report_templates.__file__).parent
SOURCES = Path(audit.report.__file__).parent
WRITTEN_BY_RUNS = (
    "audit/cues",
    "audit/cmv",
    "audit/manifest",
    "audit/report/exhibits.py",
    "audit/report/problems.py",
    "audit/verdicts",
    "flows",
)
_SPOKEN_ATTRIBUTES = {"aria-label", "alt", "title", "placeholder", "data-some", "data-none"}


def environment() -> Environment:
    made = Environment(
        autoescape=True, extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True
    )
    made.install_null_translations(newstyle=True)
    return made


def templates() -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(TEMPLATES.glob("*.j2"))}


def messages() -> set[str]:
    found = set()
    for text in templates().values():
        for _, function, message in environment().extract_translations(text):
            assert function != "ngettext", "plurals go through the filter `plural`"
            found.add(message if isinstance(message, str) else message[0])
    for call in _calls("say"):
        assert isinstance(call.args[0], ast.Constant), ast.unparse(call)
        found.add(call.args[0].value)
    return found


def plurals() -> dict[str, str]:
    found = {}
    for text in templates().values():
        for used in environment().parse(text).find_all(nodes.Filter):
            if used.name == "plural":
                words = [word.as_const() for word in used.args]
                found[words[0]] = words[1] if len(words) > 1 else words[0] + "s"
    for call in _calls("counted"):
        words = [word.value for word in call.args[1:] if isinstance(word, ast.Constant)]
        if words:
            found[words[0]] = words[1] if len(words) > 1 else words[0] + "s"
    return found


def _calls(name: str) -> Iterator[ast.Call]:
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if named and node.func.id == name and path.name != "i18n.py":
                yield node


def written_by_runs() -> set[str]:
    """Every text that stands whole in a module that writes what the report later reads."""
    root = Path(audit.report.__file__).parents[2]
    found = set()
    for place in WRITTEN_BY_RUNS:
        for path in [root / place] if place.endswith(".py") else (root / place).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


def unmarked(text: str) -> list[str]:
    """Words of a template that no message holds: between the tags and in attributes."""
    parsed = environment().parse(text)
    page = "".join(
        node.data if isinstance(node, nodes.TemplateData) else "0"
        for output in parsed.find_all(nodes.Output)
        for node in output.nodes
    )
    reader = _Words()
    reader.feed(page)
    return reader.found + list(_constants(parsed))


def _constants(parsed: nodes.Template) -> Iterator[str]:
    """Texts that an expression shows without asking the catalogue."""
    for output in parsed.find_all(nodes.Output):
        for node in output.nodes:
            yield from _shown(node)


def _shown(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Const) and re.search(r"[A-Za-z]{2}", str(node.value)):
        yield node.value
    elif isinstance(node, nodes.CondExpr):
        yield from _shown(node.expr1)
        yield from _shown(node.expr2) if node.expr2 else ()
    elif isinstance(node, nodes.Concat):
        for part in node.nodes:
            yield from _shown(part)
    elif isinstance(node, (nodes.Getitem, nodes.Dict, nodes.Pair)):
        for part in node.iter_child_nodes(exclude=("key", "arg")):
            yield from _shown(part)
    elif isinstance(node, nodes.MarkSafe):
        yield from _shown(node.expr)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        self.found += [
            value for key, value in attrs if key in _SPOKEN_ATTRIBUTES and _words(value or "")
        ]

    def handle_data(self, data):
        if self.inside not in ("style", "script") and _words(data):
            self.found.append(data.strip())

    def handle_endtag(self, tag):
        self.inside = ""


def _words(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]{2}", re.sub(r"&\w+;", "", text)))
