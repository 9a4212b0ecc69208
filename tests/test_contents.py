"""Files count by what they hold: what is another audit, what is the same, what is read again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from auditing import opened
from planted import write_dataset

import audit
from audit.dataset.batches import iterate_batches
from audit.dataset.content_store import ContentStore, key_of
from audit.dataset.contents import hash_contents


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("contents"), [1], per_class=2)


def one_image(manifest: Path) -> Path:
    return sorted(opened(manifest).table["path"].map(os.fsdecode).map(Path))[0]


def rewritten(path: Path) -> None:
    """Another byte, behind the picture; the size and the mtime stay those of before."""
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_copied_and_touched_files_are_the_same_audit(planted: Path, tmp_path: Path) -> None:
    key = opened(planted).key
    shutil.copytree(planted.parent, tmp_path / "copy", copy_function=shutil.copyfile)
    copy = tmp_path / "copy" / planted.name
    assert opened(copy).key == key
    os.utime(one_image(copy), (1, 1))
    assert opened(copy).key == key


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_other_bytes_are_another_audit_whatever_the_stamps_say(
    planted: Path, tmp_path: Path, kind: str
) -> None:
    shutil.copytree(planted.parent, tmp_path / "copy")
    copy = tmp_path / "copy" / planted.name
    key = opened(copy).key
    path = sorted(p for p in (copy.parent / kind).rglob("*.png"))[0]
    rewritten(path)
    assert opened(copy).key != key


def test_a_patch_is_the_same_audit_and_a_minor_version_another(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "__version__", "7.1.0")
    key = opened(planted).key
    monkeypatch.setattr(audit, "__version__", "7.1.9")
    assert opened(planted).key == key
    monkeypatch.setattr(audit, "__version__", "7.2.0")
    assert opened(planted).key != key
    monkeypatch.setattr(audit, "__version__", "7.1.0")
    monkeypatch.setattr(torch, "__version__", "99.0.1")
    assert opened(planted).key != key


def test_what_is_known_is_not_read_again(planted: Path, tmp_path: Path) -> None:
    shutil.copytree(planted.parent, tmp_path / "copy")
    copy = tmp_path / "copy" / planted.name
    first = opened(copy)
    images, masks = len(first.table), int((first.table["mask_sha256"] != "").sum())
    assert first.hashed.files == images + masks
    assert images == masks > 0
    again = opened(copy)
    assert again.hashed.files == 0
    assert again.table["sha256"].equals(first.table["sha256"])
    rewritten(one_image(copy))
    assert opened(copy).hashed.files == 1


def test_an_image_that_is_not_the_one_hashed_is_an_error_of_that_sample(
    planted: Path, tmp_path: Path
) -> None:
    shutil.copytree(planted.parent, tmp_path / "copy")
    session = opened(tmp_path / "copy" / planted.name)
    path = one_image(tmp_path / "copy" / planted.name)
    rewritten(path)
    with session.loader as loader:
        batches = list(iterate_batches(session.table, loader, 64))
    errors = [error for batch in batches for _, error in batch.unreadable]
    assert [error.reason for error in errors] == ["CHANGED_DURING_RUN"]
    assert sum(map(len, batches)) == len(session.table) - 1


def test_a_store_that_is_none_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "contents.sqlite"
    (tmp_path / "file").write_bytes(b"content")
    key, store = key_of(bytes(tmp_path / "file")), ContentStore(path)
    assert store.get([key]) == [""]
    store.put([(key, "ab" * 32)])
    assert store.get([key, key._replace(ctime_ns=0)]) == ["ab" * 32, ""]
    path.write_bytes(b"nothing that SQLite wrote, and longer than its header is" * 20)
    assert store.get([key]) == [""]
    store.put([(key, "cd" * 32)])
    assert store.get([key]) == ["cd" * 32]


def test_a_store_that_cannot_be_written_costs_nothing_but_time(
    planted: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    store = ContentStore(tmp_path / "file" / "contents.sqlite")
    table = pd.DataFrame(opened(planted).table)
    known = table["sha256"].copy()
    hashed = hash_contents(table, None, store)
    assert hashed.files == len(table)
    assert table["sha256"].equals(known)
