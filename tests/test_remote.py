"""Datasets in buckets and on web servers: the same audit, fetched once, and no bad images."""

from __future__ import annotations

import errno
import functools
import http.server
import io
import json
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from auditing import opened, scored
from planted import leaner, write_dataset
from test_format_runs import yolo as build_yolo

from audit.dataset.members import read_member
from audit.dataset.readers import read_dataset
from audit.errors import AuditError, DatasetError, ManifestError
from audit.manifest import load_manifest
from audit.pipeline.fetching import Fetcher
from audit.pipeline.opening import open_declared
from audit.pipeline.opening_again import open_again
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT
from audit.remote import stores
from audit.remote.addresses import folder_of_mirrors, mirrored_path
from audit.remote.mirror import Mirror, was_fetched
from audit.remote.stores import Held, Store

SHARDS = "train-{09..10}.tar"
HASHES = ["sample_id", "label", "sha256", "mask_sha256"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SALIENCY_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0))
    return tmp_path / "cache" / "remote"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return leaner(write_dataset(tmp_path, [], per_class=2))


@pytest.fixture
def bucket(tmp_path: Path, manifest: Path) -> Iterator[str]:
    """A store of objects that lists its own, with the images and masks of the manifest."""
    system, name = fsspec.filesystem("memory"), f"bucket-{tmp_path.name}"
    for part in ("images", "masks"):
        system.put(str(tmp_path / part), f"/{name}/{part}", recursive=True)
    yield name
    system.rm(f"/{name}", recursive=True)


class Server(http.server.SimpleHTTPRequestHandler):
    """Counts what it is asked, and fails when it is told to."""

    asked: Counter[str]
    failures: int

    def do_HEAD(self) -> None:
        if self._may_answer():
            super().do_HEAD()

    def do_GET(self) -> None:
        if self._may_answer():
            super().do_GET()

    def _may_answer(self) -> bool:
        type(self).asked[self.command] += 1
        if type(self).failures > 0:
            type(self).failures -= 1
            self.send_error(503)
            return False
        return True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, manifest: Path) -> Iterator[str]:
    assert manifest.exists()
    Server.asked, Server.failures = Counter(), 0
    handler = functools.partial(Server, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def changed(manifest: Path, name: str, **sections: Mapping[str, object]) -> Path:
    """The manifest with other sections, as a file beside it."""
    content = yaml.safe_load(manifest.read_text())
    for section, keys in sections.items():
        content[section] = {**content.get(section, {}), **keys}
        content[section] = {k: v for k, v in content[section].items() if v is not None}
    path = manifest.with_name(f"{name}.yaml")
    path.write_text(yaml.safe_dump(content))
    return path


def in_bucket(manifest: Path, bucket: str, **run: object) -> Path:
    dataset = {"root": f"memory://{bucket}/images"}
    foreground = {"root": f"memory://{bucket}/masks"}
    return changed(manifest, "remote", dataset=dataset, foreground=foreground, run=run)


def on_server(manifest: Path, server: str) -> tuple[Path, Path]:
    """The manifest by a table beside it, and by the same table on a web server."""
    images = manifest.parent / "images"
    names = [path.relative_to(images).as_posix() for path in sorted(images.rglob("*.png"))]
    rows = [f"images/{name},{name.split('/')[0]},masks/{name}\n" for name in names]
    (manifest.parent / "index.csv").write_text("path,label,mask\n" + "".join(rows))
    table: dict[str, object] = {"reader": "csv_index", "root": "."}
    here = changed(manifest, "here", dataset=table, foreground={"root": None})
    return here, changed(here, "there", dataset={"root": server})


def unread(cache: Path) -> list[str]:
    """Files of the cache that have a name and no bytes."""
    return [p.name for p in cache.rglob("*.png") if not p.stat().st_mode & 0o444]


def test_an_audit_of_a_bucket_is_that_of_a_folder(
    manifest: Path, bucket: str, tmp_path: Path, cache: Path
) -> None:
    here = scored(manifest, tmp_path / "here")
    there = scored(in_bucket(manifest, bucket), tmp_path / "there")
    assert there.scores.read_bytes() == here.scores.read_bytes()
    assert len(list(cache.rglob("*.png"))) == 24
    assert unread(cache) == []


def test_workers_ask_no_store_for_what_is_here_and_fetch_the_rest_where_it_belongs(
    manifest: Path, bucket: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(in_bucket(manifest, bucket), tmp_path / "run")
    with session.loader:
        prepare(session)
    asked: list[str] = []
    listing = Store.listing
    monkeypatch.setattr(
        Store, "listing", lambda store: asked.append(store.address) or listing(store)
    )
    assert (
        open_again(session.request, session.key, str(cache))
        .table["path"]
        .equals(session.table["path"])
    )
    assert asked == []
    # On another machine the cache is empty, and may lie elsewhere.
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("SALIENCY_AUDIT_CACHE", str(elsewhere))
    there = open_again(session.request, session.key, str(cache))
    assert len(asked) == 2
    assert all(path.startswith(os.fsencode(elsewhere)) for path in there.table["path"])
    assert all(was_fetched(os.fsdecode(path)) for path in there.table["path"])
    assert len(list(elsewhere.rglob("*.png"))) == 2 * len(session.table)


def test_only_what_is_audited_is_fetched(manifest: Path, bucket: str, cache: Path) -> None:
    session = opened(in_bucket(manifest, bucket))
    assert session.table[HASHES].equals(opened(manifest).table[HASHES])
    for path in cache.rglob("*.png"):
        path.unlink()
    few = open_declared(in_bucket(manifest, bucket), limit=6, device="cpu")
    assert len(few.table) == 6
    assert len(unread(cache)) == 12
    assert (few.table["size"] == [os.stat(os.fsdecode(p)).st_size for p in few.table["path"]]).all()


def test_what_changes_in_a_bucket_is_fetched_again_and_what_goes_is_gone(
    manifest: Path, bucket: str
) -> None:
    remote = in_bucket(manifest, bucket)
    before = opened(remote).table.set_index("sample_id")["sha256"]
    system = fsspec.filesystem("memory")
    first, second, *_ = before.index
    other = system.cat(f"/{bucket}/images/{second}")
    system.rm(f"/{bucket}/images/{first}")
    system.pipe(f"/{bucket}/images/{second}", other + b"\0")
    after = opened(remote).table.set_index("sample_id")["sha256"]
    assert set(before.index) - set(after.index) == {first}
    assert [name for name in after.index if after[name] != before[name]] == [second]


def test_a_table_on_a_web_server_is_the_table_beside_the_manifest(
    manifest: Path, server: str
) -> None:
    here, there = on_server(manifest, server)
    table = opened(there).table
    assert table[HASHES].equals(opened(here).table[HASHES])
    Server.asked.clear()
    assert opened(there).table.equals(table)
    # Versions are asked for; nothing is sent again. Of index.parquet, which is not there, both.
    assert Server.asked == {"HEAD": 26, "GET": 1}


def test_what_a_web_server_does_not_have_is_one_missing_image(manifest: Path, server: str) -> None:
    _, there = on_server(manifest, server)
    next(iter(sorted((manifest.parent / "images").rglob("*.png")))).unlink()
    session = opened(there)
    assert session.remarks[0].startswith("1 of 12 image files cannot be found")
    assert (session.table["size"] < 0).sum() == 1


def test_a_server_that_fails_for_a_while_is_asked_again(manifest: Path, server: str) -> None:
    _, there = on_server(manifest, server)
    Server.failures = 2
    assert (opened(there).table["size"] > 0).all()


def test_a_store_that_does_not_answer_ends_the_run_and_blames_no_image(
    manifest: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, there = on_server(manifest, server)
    opened(there)
    monkeypatch.setenv("TOKEN_OF_TEST", "s3cret-token")
    changed(there, "there", dataset={"root": f"{server}/${{TOKEN_OF_TEST}}"})
    Server.failures = 1000
    with pytest.raises(DatasetError) as raised:
        opened(there)
    message = str(raised.value)
    assert f"dataset.root: {server}" in message
    assert "503" in message
    assert "asked 3 times" in message
    assert "s3cret-token" not in message


def test_half_a_file_is_none(tmp_path: Path, bucket: str) -> None:
    class Cut(Store):
        def look(self, name: str) -> Held | None:
            found = super().look(name)
            return found and Held(found.size + 1, found.second)

    class_folder = fsspec.filesystem("memory").ls(f"/{bucket}/images", detail=False)[0]
    name = fsspec.filesystem("memory").ls(class_folder, detail=False)[0].rpartition("/")[2]
    mirror = Mirror(Cut(f"memory:/{class_folder}", "dataset.root"), tmp_path / "mirror")
    mirror.bring_up_to_date([name])
    with pytest.raises(DatasetError, match="were announced"):
        mirror.fetch([name])
    assert list(mirror.to_fetch([name])) == [name]


def test_a_full_disk_is_no_fault_of_the_store(
    manifest: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", full)
    with pytest.raises(AuditError, match="the disk is full"):
        opened(in_bucket(manifest, bucket))


def test_names_of_objects_lead_nowhere_else(tmp_path: Path, bucket: str) -> None:
    class Hostile(Store):
        def listing(self) -> Mapping[str, Held | None]:
            names = ("../a.png", "a/../../b.png", "/c.png", "d\0.png", "e" * 300, "in/f.png", "in")
            return dict.fromkeys(names, Held(3, 1))

    mirror = Mirror(Hostile(f"memory://{bucket}", "dataset.root"), tmp_path / "m" / "mirror")
    mirror.bring_up_to_date()
    written = [p.relative_to(tmp_path / "m").as_posix() for p in (tmp_path / "m").rglob("*.png")]
    assert written == ["mirror/in/f.png"]
    assert not (tmp_path / "a.png").exists()


def test_the_cache_holds_no_more_than_it_may(manifest: Path, bucket: str, cache: Path) -> None:
    with pytest.raises(DatasetError, match="run.cache_gib: the files of this audit take"):
        opened(in_bucket(manifest, bucket, cache_gib=1e-9))
    opened(in_bucket(manifest, bucket))
    masks_alone = changed(
        manifest, "masks", foreground={"root": f"memory://{bucket}/masks"}, run={"cache_gib": 3e-6}
    )
    # Another audit may be in the middle of a run on what was opened just now.
    with pytest.raises(DatasetError, match="other audits opened within 7 days"):
        opened(masks_alone)
    for note in cache.glob(".used/*.json"):
        note.write_text(json.dumps({**json.loads(note.read_text()), "day": 1}))
    opened(masks_alone)
    assert not list(cache.glob("memory/*/images"))
    assert list(cache.glob("memory/*/masks"))


def test_weights_and_lists_may_lie_at_addresses(
    manifest: Path, server: str, tmp_path: Path
) -> None:
    (tmp_path / "only.csv").write_text("sample_id\nant/000.png\n")
    remote = changed(manifest, "remote", dataset={"only": f"{server}/only.csv?signature=abc"})
    assert opened(remote).table["sample_id"].tolist() == ["ant/000.png"]
    gone = load_manifest(changed(manifest, "gone", model={"weights": f"{server}/none.pt"}))
    with pytest.raises(DatasetError, match=r"model.weights: nothing is at http://127.0.0.1"):
        Fetcher(gone, SILENT).fetch_declared()


def test_coco_and_shards_are_read_from_a_web_server(
    tmp_path: Path, manifest: Path, server: str
) -> None:
    name = next((tmp_path / "images" / "ant").glob("*.png")).name
    content = {
        "images": [{"id": 1, "file_name": name, "width": 32, "height": 32}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 9, 9]}],
        "categories": [{"id": 1, "name": "ant"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    for number in (9, 10):
        with tarfile.open(tmp_path / f"train-{number:02}.tar", "w") as written:
            written.add(tmp_path / "images" / "ant" / name, f"{number}.png")
            label = tarfile.TarInfo(f"{number}.cls")
            label.size = 3
            written.addfile(label, io.BytesIO(b"ant"))
    named: dict[str, object] = {"annotations": "instances.json", "images": "images/ant"}
    for options in ({"reader": "coco", **named}, {"reader": "webdataset", "shards": SHARDS}):
        declared = load_manifest(changed(manifest, "remote", dataset={"root": server, **options}))
        fetcher = Fetcher(declared, SILENT)
        fetcher.fetch_declared()
        dataset, root = declared.dataset, declared.path(declared.dataset.root)
        found = read_dataset(dataset.reader, root, dataset.options, is_here=False)
        assert fetcher.fetch_listed(found.table, None)
        original = (tmp_path / "images" / "ant" / name).read_bytes()
        assert {read_member(sample) for sample in found.samples} == {original}
        assert set(found.table["label_name"]) == {"ant"}


@pytest.mark.parametrize("layout", ["hub", "one", "several", "yolo/data.yaml"])
def test_what_lists_a_dataset_is_fetched_before_it_is_listed(
    layout: str, tmp_path: Path, manifest: Path, bucket: str
) -> None:
    """Saved datasets, the folder of a hub, and a root that is a file beside others."""
    on_disk = Path(__file__).parent / "frozen" / "datasets" / layout
    if layout.startswith("yolo"):
        on_disk = tmp_path / layout
        build_yolo(tmp_path / "drawn")
        (tmp_path / "drawn" / "data").rename(on_disk.parent)
    folder = on_disk.parent if on_disk.is_file() else on_disk
    fsspec.filesystem("memory").put(str(folder), f"/{bucket}/{folder.name}", recursive=True)
    reader = "yolo" if on_disk.is_file() else "huggingface"
    dataset = {"reader": reader, "root": f"memory://{bucket}/{layout}"}
    declared = load_manifest(changed(manifest, "remote", dataset=dataset))
    fetcher = Fetcher(declared, SILENT)
    fetcher.fetch_declared()
    root = declared.path(declared.dataset.root)
    there = read_dataset(reader, root, declared.dataset.options, is_here=False)
    assert fetcher.fetch_listed(there.table, None)
    here = read_dataset(reader, on_disk, {})
    assert here.samples
    for one, other in zip(there.samples, here.samples, strict=True):
        assert (one.sample_id, one.label_name) == (other.sample_id, other.label_name)
        assert (one.boxes, read_member(one)) == (other.boxes, read_member(other))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"root": "https://host/images"}, "a web server does not say which files it has"),
        ({"root": "s3://bucket/a", "reader": "own:read"}, "reads folders of this computer only"),
        ({"root": "https://host/a", "reader": "voc"}, "a web server does not say which files"),
        ({"root": "s3://key:hidden-key@bucket/a"}, "holds a user or a password"),
        ({"root": "https://host/a.csv?sig=hidden-key", "reader": "csv_index"}, "no signed address"),
        ({"root": "nowhere://a/b"}, "Protocol not known: nowhere"),
        ({"root": "s3://bucket/../a"}, "no address of a file or folder"),
    ],
)
def test_addresses_that_cannot_be_read_are_refused_before_anybody_is_called(
    manifest: Path, dataset: dict[str, object], expected: str
) -> None:
    declared = load_manifest(changed(manifest, "refused", dataset=dataset))
    with pytest.raises((ManifestError, DatasetError), match=expected) as raised:
        Fetcher(declared, SILENT).fetch_declared()
    assert "hidden-key" not in str(raised.value)


def test_a_file_address_is_the_path_itself(tmp_path: Path, cache: Path) -> None:
    assert mirrored_path(f"file://{tmp_path}/a%20b", "dataset.root") == tmp_path / "a b"
    assert mirrored_path("s3://bucket/images/", "dataset.root") == (
        folder_of_mirrors() / "s3" / "bucket" / "images"
    )
    assert cache == folder_of_mirrors()
