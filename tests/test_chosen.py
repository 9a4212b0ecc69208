from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from auditing import opened
from planted import write_dataset

from audit.dataset.chosen import only_listed
from audit.errors import DatasetError


def test_only_the_samples_that_a_file_names_are_audited(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=4)
    whole = opened(manifest)
    wanted = ["fox/002.png", "ant/001.png"]
    (tmp_path / "few.csv").write_text("part,sample_id\nproof,fox/002.png\nproof,ant/001.png\n")
    few = opened(manifest, "", "dataset.only=few.csv")
    assert few.table["sample_id"].tolist() == sorted(wanted)
    assert few.table.index.tolist() == [0, 1]
    # The classes are those of the whole dataset, so that the outputs keep their names.
    assert few.class_names == whole.class_names
    assert few.key != whole.key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\nx\n", "expected a column sample_id, found id"),
        ("sample_id\nnobody\nant\n", "found 'nobody' and 0 more"),
        ("sample_id\n", "found no sample at all"),
        ("", "cannot be read as CSV"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = pd.DataFrame({"sample_id": ["ant", "bee"]})
    (tmp_path / "few.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        only_listed(table, tmp_path / "few.csv")
