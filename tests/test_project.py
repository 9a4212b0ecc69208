"""What the project says of itself in several files, said the same."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import audit

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_who_cites_it_cites_this_version_and_licence() -> None:
    cited = read_yaml("CITATION.cff")
    project = PYPROJECT["project"]
    assert cited["version"] == audit.__version__
    assert cited["license"] == project["license"]
    assert cited["authors"] == project["authors"]


def test_every_locked_package_has_a_hash_and_no_address() -> None:
    locked = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", locked.strip())
    assert len(entries) > 100
    assert [e.split()[0] for e in entries if "--hash=sha256:" not in e] == []
    assert "://" not in locked


def test_every_direct_dependency_is_locked() -> None:
    project = PYPROJECT["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\[<>=]", one)[0].lower() for one in asked}
    locked = re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert names - set(locked) == set()


def test_a_commit_is_checked_by_the_tools_of_make_check() -> None:
    hooks = [
        hook for repo in read_yaml(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]
    ]
    recipe = (ROOT / "Makefile").read_text().split("\ncheck: setup\n")[1].split("\n\n")[0]
    for hook in hooks:
        tool = " ".join(hook["entry"].split(" --")[:1]).removeprefix(".venv/bin/")
        assert f"$(BIN)/{tool}" in recipe, hook["id"]


def test_what_modules_pass_on_has_a_type() -> None:
    loose = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted(p for room in ("audit", "flows") for p in (ROOT / room).rglob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"(dict|Mapping)\[str, Any\]", line)
    ]
    # What is left are settings and calls of other libraries.
    assert len(loose) < 40, loose
    assert [line for line in loose if line.startswith("audit/verdicts/")] == []


def test_modules_functions_and_classes_bear_the_terms_in_use() -> None:
    former = {
        *("witness", "thief", "taker", "heatmap", "stopping", "filling", "twins", "pieces"),
        *("readings", "grains", "climb", "likeness", "pictured", "places", "story", "wording"),
        *("gallery", "budget", "judging", "preparing", "checking", "held", "told", "met", "said"),
        *("second_look", "look_again", "hole_of", "ring_of_doubt", "check_itself"),
        *("utils", "helpers", "common", "base", "misc", "types", "constants"),
    }
    for path in sorted(p for room in ("audit", "flows") for p in (ROOT / room).rglob("*.py")):
        public = re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", path.read_text(), re.MULTILINE)
        assert former & {path.stem, path.parent.name, *public} == set(), path


def test_rates_are_written_by_one_formatter() -> None:
    for path in sorted(p for room in ("audit", "flows") for p in (ROOT / room).rglob("*.py")):
        assert re.findall(r":[.0-9,]*%\}", path.read_text()) == [], path


def test_flows_are_prefect_and_no_more() -> None:
    rooms = [ROOT / "flows", ROOT / "flows" / "automations"]
    lines = sum(len(p.read_text().splitlines()) for room in rooms for p in room.glob("*.py"))
    # What needs no Prefect belongs into audit/, where notebooks and tests reach it without one.
    assert lines < 700


def test_what_benchmarks_import_of_us_is_there() -> None:
    """Nothing else runs them in a year; types are checked of audit and flows alone."""
    missing = []
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                top = node.module.split(".")[0]
                if top in ("audit", "flows", "benchmarks"):
                    names = {name.name for name in node.names} - defined(node.module)
                    missing += [f"{path.name}: {node.module}.{name}" for name in names]
    assert missing == []


@functools.cache
def defined(module: str) -> set[str]:
    """What a module of ours has at its top: definitions, imports, values and modules below it."""
    path = ROOT.joinpath(*module.split("."))
    below = {p.stem for p in path.glob("*.py")} | {p.name for p in path.glob("*/")}
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return below | {
        name for node in ast.walk(ast.parse(source.read_text())) for name in names_of(node)
    }


def names_of(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [name.asname or name.name for name in node.names]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    # What a package imports when it is asked for.
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
