"""The sandbox in which templates run: which records, functions and files they reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from inspect import getmembers, isfunction
from pathlib import PurePath
from types import ModuleType
from typing import Any

from jinja2 import ChoiceLoader, DictLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

import report_templates
from audit.findings.values import Record
from audit.report import formatting, i18n, moments, untrusted
from audit.report.sentences import (
    certainty,
    controls,
    evidence,
    history,
    maps,
    names,
    notes,
    page_one,
    problems,
    repairs,
    say,
)
from audit.report.style import ReportStyle

_MODULES = (certainty, controls, evidence, history, maps, names, notes, page_one, problems, repairs)
SENTENCES: Mapping[str, Callable[..., Any]] = {
    name: function
    for module in _MODULES
    for name, function in getmembers(module, isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}
"""By name, for templates: the functions alone, since a module would hand over its imports."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """What a template may reach: of a record only what the record declares, and no file."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(value, (PurePath, ModuleType)):
            return False
        if isinstance(obj, Record):
            # Its base class reads files and, if asked, pickles.
            return attr in _declared(type(obj))
        return bool(super().is_safe_attribute(obj, attr, value))


@cache
def _declared(kind: type[Record]) -> set[str]:
    bases = [base for base in kind.__mro__ if issubclass(base, Record) and base is not Record]
    named = {name for base in bases for name in vars(base) if not name.startswith(("_", "model_"))}
    return named | set(kind.model_fields)


def sandbox(style: ReportStyle) -> ImmutableSandboxedEnvironment:
    """Where templates are filled: the user's before ours, with the filters that both may use."""
    return _sandbox(tuple(sorted(style.templates.items())), i18n.speaking().code)


@lru_cache(maxsize=4)
def _sandbox(own: tuple[tuple[str, str], ...], _language: str) -> ImmutableSandboxedEnvironment:
    """Templates are compiled once for page and paper, and anew for another language.

    While it compiles, Jinja writes what is constant, such as ``{{ 0.5 | share }}``, in the language
    of the moment.
    """
    environment = _Sandbox(
        loader=ChoiceLoader([DictLoader(dict(own)), report_templates.loader()]),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Messages are ours; what is filled in is escaped as everywhere.
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        i18n.looked_up, i18n.looked_up_plural, newstyle=True
    )
    environment.filters.update(
        say=say,
        share=formatting.share,
        points=formatting.points,
        number=formatting.number,
        chance=formatting.chance,
        duration=formatting.duration,
        day=moments.day,
        day_and_time=moments.day_and_time,
        whole=i18n.whole,
        shorten=untrusted.shorten,
        longest_word=untrusted.longest_word,
        sort_key=formatting.sort_key,
        listing=formatting.listing,
        interval=formatting.with_interval,
    )
    return environment
