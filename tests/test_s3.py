"""A bucket of a real S3 server on this machine: read, read again after a change, and written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from auditing import scored
from moto.server import ThreadedMotoServer
from planted import leaner, write_dataset

from audit.errors import DatasetError
from audit.pipeline.publish import publish
from audit.remote import stores

BUCKET = "pets"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture
def bucket(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Path]]:
    """A client, and a manifest whose images and masks lie in the bucket, too."""
    monkeypatch.setenv("SALIENCY_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0))
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    manifest = leaner(write_dataset(tmp_path, [], per_class=2))
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for part in ("images", "masks"):
        for path in (tmp_path / part).rglob("*.png"):
            client.upload_file(str(path), BUCKET, path.relative_to(tmp_path).as_posix())
    yield client, manifest
    for held in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=held["Key"])
    client.delete_bucket(Bucket=BUCKET)


ROOTS = (f"dataset.root=s3://{BUCKET}/images", f"foreground.root=s3://{BUCKET}/masks")


def test_an_audit_of_a_bucket_is_that_of_a_folder_and_each_object_is_asked_for_once(
    bucket: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, manifest = bucket
    fetched: list[str] = []
    fetch = stores.Store.fetch

    def counted(store: stores.Store, name: str, target: Path, size: int) -> str | None:
        fetched.append(name)
        return fetch(store, name, target, size)

    monkeypatch.setattr(stores.Store, "fetch", counted)
    here = scored(manifest, tmp_path / "here")
    there = scored(manifest, tmp_path / "there", *ROOTS)
    assert there.scores.read_bytes() == here.scores.read_bytes()
    assert len(fetched) == len(set(fetched)) + 12 == 24
    fetched.clear()
    scored(manifest, tmp_path / "again", *ROOTS)
    assert fetched == []
    # The bucket gives another picture its place, and its name stays.
    client.copy_object(
        Bucket=BUCKET, Key="images/ant/000.png", CopySource=f"{BUCKET}/images/ant/001.png"
    )
    changed = scored(manifest, tmp_path / "changed", *ROOTS)
    assert fetched == ["ant/000.png"]
    assert changed.scores.read_bytes() != here.scores.read_bytes()


def test_a_bucket_that_is_not_there_ends_the_audit_with_its_address(
    bucket: tuple[Any, Path], tmp_path: Path
) -> None:
    _, manifest = bucket
    with pytest.raises(DatasetError, match="dataset.root: .*s3://nobodys/images"):
        scored(manifest, tmp_path / "run", "dataset.root=s3://nobodys/images")


def test_a_report_is_published_into_a_bucket_and_makes_none(
    bucket: tuple[Any, Path], tmp_path: Path
) -> None:
    client, manifest = bucket
    run = scored(manifest, tmp_path / "run")
    (run.path / "report.html").write_text("<p>of this night</p>")
    assert publish(run, "pets", f"s3://{BUCKET}/audits")
    held = client.get_object(Bucket=BUCKET, Key="audits/pets/run/report.html")["Body"].read()
    assert held == b"<p>of this night</p>"
    assert not publish(run, "pets", "s3://nobodys/audits")
    assert [one["Name"] for one in client.list_buckets()["Buckets"]] == [BUCKET]
