"""Pages from the code itself: the manifest's keys, the tables' columns, the commands.

MkDocs calls :func:`on_page_markdown`; a line ``<!-- generate: NAME -->`` of a page becomes what
the function of that name in :data:`GENERATED` says, ``<!-- include: FILE -->`` a file of the
repository's root, or the part of it that ``FILE#part`` marks.
"""

from __future__ import annotations

import fnmatch
import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from audit.plugin_options import options_of
from docs.schema_words import bounds, default_of, kind

ROOT = Path(__file__).parent.parent
WRITTEN_AS = {
    "README.md": "index.md",
    "BENCHMARKS.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Where the site has a file of the root."""


def manifest_keys() -> str:
    """Every key of the manifest, section by section, and the options of what it can name."""
    from audit.manifest import Manifest

    return "\n".join([*_section(Manifest, ()), *_options_of_tables()])


def _section(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    schema = model.model_json_schema()
    fields = {name: held for name, held in model.model_fields.items() if not held.exclude}
    yield f"\n## {'.'.join(path) or 'Top level'}\n\n{inspect.getdoc(model)}\n"
    yield "| key | what may stand there | range | default | meaning |\n|---|---|---|---|---|"
    for name, held in fields.items():
        said = schema["properties"][name]
        default = "must be written" if held.is_required() else default_of(said.get("default"), said)
        meaning = " ".join((held.description or "").split())
        yield _row(f"`{'.'.join((*path, name))}`", kind(said), bounds(said), default, meaning)
    for name, held in fields.items():
        inner = held.annotation
        if inspect.isclass(inner) and issubclass(inner, BaseModel):
            yield from _section(inner, (*path, name))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tables() -> dict[str, Mapping[str, Callable[..., Any]]]:
    """The functions that a manifest can name, by the key that names them."""
    from audit.dataset.foregrounds import FOREGROUNDS
    from audit.dataset.readers import READERS
    from audit.models import MODELS
    from audit.saliency import METHODS

    return {
        "dataset.reader": READERS,
        "foreground.source": FOREGROUNDS,
        "model.loader": MODELS,
        "saliency.method": METHODS,
    }


def options(function: Callable[..., Any]) -> dict[str, tuple[str, str]]:
    """The options of a function: default and meaning by name."""
    return {
        name: (
            "must be written" if default is inspect.Parameter.empty else default_of(default, {}),
            said,
        )
        for name, (default, said) in options_of(function).items()
    }


def _options_of_tables() -> Iterator[str]:
    for key, table in tables().items():
        section, word = key.split(".")
        yield f"\n## What `{key}` can name\n"
        where = "`saliency.options`" if section == "saliency" else f"`{section}`, beside `{word}`"
        yield f"Options are written in {where}.\n"
        for name, function in table.items():
            first = (inspect.getdoc(function) or "").splitlines()[0]
            yield f"\n### {name}\n\n{plain(first)}\n"
            if found := options(function):
                yield "| option | default | meaning |\n|---|---|---|"
                yield from (
                    _row(f"`{option}`", default, plain(meaning))
                    for option, (default, meaning) in found.items()
                )


def plain(text: str) -> str:
    """A docstring's text without the marks of roles.

    Examples
    --------
    >>> plain("See :func:`~audit.scoring.mass_lift`.")
    'See `audit.scoring.mass_lift`.'
    """
    return re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", text)


def meanings(table: str) -> dict[str, str]:
    """What the columns of a table mean, by name or pattern."""
    read: dict[str, dict[str, str]] = tomllib.loads(
        (ROOT / "docs" / "columns.toml").read_text(encoding="utf-8")
    )
    return read[table]


def meaning(column: str, said: Mapping[str, str]) -> str:
    """What a column means; that of an interval follows from its value's."""
    if column in said:
        return said[column]
    value, _, end = column.rpartition("_")
    if end in ("low", "high") and value in said:
        return f"{end}er end of the 95 % interval of `{value}`"
    return said[next(pattern for pattern in said if fnmatch.fnmatch(column, pattern))]


def score_columns() -> str:
    """The columns of scores.parquet."""
    from audit.measuring.columns import SCORE_COLUMNS

    said = meanings("scores")
    rows = [_row(f"`{one.name}`", str(one.type), meaning(one.name, said)) for one in SCORE_COLUMNS]
    return "\n".join(["| column | type | meaning |\n|---|---|---|", *rows])


def class_columns() -> str:
    """The columns of classes.parquet."""
    from audit.verdicts.tables import CLASS_COLUMNS

    said = meanings("classes")
    rows = [_row(f"`{name}`", meaning(name, said)) for name in CLASS_COLUMNS.names]
    return "\n".join(["| column | meaning |\n|---|---|", *rows])


def commands() -> str:
    """Every command of the command line, with its arguments and options."""
    import typer

    from flows.cli import app

    root = typer.main.get_command(app)
    return "\n".join(line for command in root.commands.values() for line in _command(command))


def _command(command: Any) -> Iterator[str]:
    yield f"\n## {command.name}\n\n{inspect.cleandoc(command.help or '')}\n"
    yield "| | default | meaning |\n|---|---|---|"
    for one in command.params:
        if one.param_type_name == "argument":
            written, said = one.name.upper(), one.help
        else:
            written, said = "/".join([*one.opts, *one.secondary_opts]), one.help
        nothing = one.default is None or one.default in ((), [])
        default = "must be given" if one.required else "" if nothing else f"`{one.default}`"
        yield _row(f"`{written}`", default, said or "")


def json_schemas() -> str:
    """The JSON Schema of each file of the record."""
    from audit.findings import json_schemas as by_file

    return "\n".join(
        f"### {name}\n\n```json\n{json.dumps(schema, indent=1)}\n```\n"
        for name, schema in by_file().items()
    )


GENERATED: Mapping[str, Callable[[], str]] = {
    "manifest": manifest_keys,
    "scores": score_columns,
    "classes": class_columns,
    "commands": commands,
    "schemas": json_schemas,
}


def include(name: str) -> str:
    """A file of the root, or the part between ``<!-- part: NAME -->`` and ``<!-- end -->``."""
    file, _, part = name.partition("#")
    text = (ROOT / file).read_text(encoding="utf-8")
    if part:
        text = text.split(f"<!-- part: {part} -->\n", 1)[1].split("<!-- end -->", 1)[0]
    for path, page in WRITTEN_AS.items():
        text = text.replace(f"]({path}", f"]({page}")
    return text.replace("](docs/", "](")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put generated and included text in its place."""

    def generate(found: re.Match[str]) -> str:
        return GENERATED[found[1]]()

    markdown = re.sub(r"<!-- generate: (\w+) -->", generate, markdown)
    return re.sub(r"<!-- include: (\S+) -->", lambda found: include(found[1]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Take the marks of roles out of docstrings."""
    return re.sub(r":(?:func|data|class|mod|meth|attr):(<code>)~?", r"\1", html)
