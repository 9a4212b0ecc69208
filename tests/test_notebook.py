"""The example notebook, executed in a kernel of its own on a drawn dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from planted import leaner, write_dataset

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def test_no_output_is_stored() -> None:
    cells = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    assert len(cells) > 5
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def shown(cell: Any) -> str:
    """All text that a cell put out."""
    texts = [output.get("text", "") for output in cell.outputs]
    return "".join([*texts, *(o.data.get("text/plain", "") for o in cell.outputs if "data" in o)])


def test_it_finds_what_was_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaner(write_dataset(tmp_path, [1, 4], per_class=20))
    # The kernel is a process of its own, and the drawn model's module lies beside the tests.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    said = {
        "".join(cell.source): shown(cell) for cell in notebook.cells if cell.cell_type == "code"
    }
    checked, *_ = (text for source, text in said.items() if "audit.check" in source)
    assert "120" in checked
    assert "'bee': 20" in checked
    found, *_ = (text for source, text in said.items() if "run.findings" in source)
    assert [line.split()[:2] for line in found.splitlines()[:2]] == [
        ["bee", "own_shortcut"],
        ["elk", "own_shortcut"],
    ]
    assert (tmp_path / "runs" / "notebook" / "report.html").is_file()
    picture = next(c for c in notebook.cells if "explanation.overlay" in c.source)
    assert any("image/png" in output.get("data", {}) for output in picture.outputs)
