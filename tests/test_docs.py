"""The site builds, asks no network, and says of the code what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from inspect import isclass
from pathlib import Path

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from audit.manifest import Manifest
from audit.measuring.columns import SCORE_COLUMNS
from audit.verdicts.tables import CLASS_COLUMNS
from docs import reference

ROOT = Path(__file__).parent.parent


def keys(model: type[BaseModel] = Manifest, path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        yield path + name, field
        if isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{path}{name}.")


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """The cells of the manifest's page by what stands in the first."""
    lines = [line for line in reference.manifest_keys().splitlines() if line.startswith("| `")]
    split = [line[2:-2].split(" | ") for line in lines]
    return {cells[0]: cells[1:] for cells in split if len(cells) == 5}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site; a broken link, or a page that no menu has, ends the building."""
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


def test_every_key_of_the_manifest_is_explained(rows: dict[str, list[str]]) -> None:
    for key, field in keys():
        kind, bounds, default, meaning = rows[f"`{key}`"]
        assert kind, key
        assert meaning == " ".join((field.description or "").split()), key
        assert len(meaning) > 5, key
        for bound in field.metadata:
            for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
                value = getattr(bound, name, None)
                assert value is None or value == 2**63 or f"{value:g}" in bounds, key
        if field.is_required():
            assert default == "must be written", key
        elif isinstance(field.default, BaseModel):
            assert (kind, default) == ("section", ""), key
        elif field.default is None:
            assert default == "none", key
        else:
            held = yaml.safe_load(default.strip("`"))
            assert held == (
                list(field.default) if isinstance(field.default, tuple) else field.default
            )


def test_every_choice_of_a_key_is_named(rows: dict[str, list[str]]) -> None:
    assert rows["`saliency.target`"][0] == "`logit`, `predicted`, `contrast`"
    assert rows["`cmv.classes`"][0] == "`none`, `suspect`, `all` or list of text"
    assert rows["`run.batch_size`"][0] == "`auto` or whole number"
    assert rows["`model.input.mean`"][0] == "list of 3 numbers or list of 1 number"
    assert rows["`run.seed`"][1] == "from 0, below 2^63"


@pytest.mark.parametrize("key", reference.tables())
def test_every_option_of_what_a_key_can_name_is_explained(key: str) -> None:
    for name, function in reference.tables()[key].items():
        unsaid = [o for o, (_, meaning) in reference.options(function).items() if not meaning]
        assert unsaid == [], name


@pytest.mark.parametrize(
    ("table", "columns"),
    [("scores", SCORE_COLUMNS.names), ("classes", CLASS_COLUMNS.names)],
)
def test_every_column_is_explained_and_no_other(table: str, columns: list[str]) -> None:
    said = reference.meanings(table)
    used = {reference.meaning(column, said) for column in columns}
    assert all(used)
    assert set(said.values()) - used == set()


class Loaded(HTMLParser):
    """Addresses that a page loads by itself: scripts, styles, pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = "href" if tag == "link" else "src"
        if tag in ("link", "script", "img", "iframe", "source"):
            self.addresses += [value for key, value in attrs if key == name and value]


def test_no_page_loads_anything_from_a_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert loaded.addresses
        assert [a for a in loaded.addresses if re.match(r"(https?:)?//", a)] == [], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text()), style.name


def test_the_pages_hold_what_is_generated_and_included(site: Path) -> None:
    assert "verdict.strong_effect" in (site / "manifest.html").read_text()
    folder = (site / "run_folder.html").read_text()
    assert "swap_other_donor_rows" in folder
    assert "schema_version" in folder
    assert "ClassFinding" in folder
    assert "load_manifest" in (site / "api.html").read_text()
    assert "--cron" in (site / "commands.html").read_text()
    assert "Keep a Changelog" in (site / "changelog.html").read_text()
    for page in site.rglob("*.html"):
        assert not re.search(r"&lt;!-- |<!-- (generate|include|part)", page.read_text()), page.name


def test_the_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", text)
    assert len(links) > 10
    for path, anchor in links:
        assert (ROOT / path).is_file(), path
        heads = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE) if anchor else []
        slugs = {re.sub(r"[^\w-]", "", head.lower().replace(" ", "-")) for head in heads}
        assert not anchor or anchor in slugs, f"{path}#{anchor}"
