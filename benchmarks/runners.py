"""What a task costs on each runner, and what a worker that is killed in mid-run costs.

    python benchmarks/runners.py [--runner NAME ...] [--shards N] [--alone N] [--kills N]

A dataset of tiny pictures is scored by shards of one image each, handed to the runner as a run does
it. With `--kills`, so many times the process that scores is ended by SIGKILL in the middle of a
shard, spread over the run. Then rows are counted: lost, doubled, and whether ``scores.parquet`` is
the one of an undisturbed run in this process to the last byte; with fewer shards `--alone` in this
process than all, that of the first runner.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from prefect import flow

from audit.manifest import RunnerSection
from audit.pipeline import measure
from audit.pipeline.groups import grouped
from audit.pipeline.handles import Handle
from audit.pipeline.opening import open_session
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT
from audit.pipeline.session import AuditRequest, Session
from flows.runners import task_runner
from flows.server import missing_server, server_for_workers
from flows.tasks import AsTasks

CLASSES = 10
RUNNERS = ("threads", "processes", "dask", "ray")
_LOADER = """
import os, signal
from pathlib import Path
import torch
from torch import nn

ARMED = Path(__file__).with_name("armed")


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, {classes}, 3, bias=False)

    def forward(self, images):
        if ARMED.exists():
            try:
                ARMED.unlink()
            except FileNotFoundError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.head(images).mean((2, 3))


def load():
    torch.manual_seed(0)
    return Network()
"""
_MANIFEST = """\
name: tiny shards
dataset: {root: images}
model: {loader: "tiny_network:load", input: {size: 16, crop: none, mean: [0, 0, 0], std: [1, 1, 1]}}
saliency: {method: gradient, checked: false}
run: {shard_size: 1, workers: 1}
"""


def write_world(folder: Path, shards: int) -> Path:
    """Write so many pictures of 16 x 16 pixels, a network and a manifest; returns the manifest."""
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / "images" / f"class{label}").mkdir(parents=True)
    for index in range(shards):
        picture = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        picture.save(folder / "images" / f"class{index % CLASSES}" / f"{index:06}.png")
    (folder / "tiny_network.py").write_text(_LOADER.replace("{classes}", str(CLASSES)))
    manifest = folder / "data_manifest.yaml"
    manifest.write_text(_MANIFEST)
    return manifest


def opened(manifest: Path, out: Path) -> Session:
    """A session that writes into a folder."""
    session = open_session(
        AuditRequest(str(manifest), str(out), device="cpu", accept_accuracy=True)
    )
    prepare(session)
    return session


def in_this_process(manifest: Path, out: Path, shards: int) -> float:
    """The seconds that so many shards take without any runner; writes the scores after all."""
    session = opened(manifest, out)
    with session.loader:
        began = time.monotonic()
        for shard in range(shards):
            measure.score(session, shard)
        seconds = time.monotonic() - began
        if shards == session.shards:
            measure.gather_scores(session)
    return seconds


def by_runner(manifest: Path, out: Path, runner: str, kills: int) -> None:
    """Score everything through a runner, and say what it took and what came out."""
    if away := missing_server():
        raise SystemExit(away)
    session = opened(manifest, out)
    handle, spent = Handle(session), time.process_time()

    @flow(name="tiny-shards", task_runner=task_runner(RunnerSection.model_validate(runner)))
    def shards() -> float:
        began = time.monotonic()
        session = handle.session
        AsTasks().run_parts("score-shard", measure.score, session, SILENT, session.shard_sizes)
        return time.monotonic() - began

    arming = threading.Thread(target=_arm, args=(session, manifest.parent, kills), daemon=True)
    arming.start()
    with session.loader, server_for_workers():
        seconds = shards()
    asked = len(grouped(session.shard_sizes))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = time.process_time() - spent
    print(
        f"{runner}: {session.shards} shards by {asked} tasks in {seconds:.1f} s, the driver "
        f"{spent:.1f} CPU s and at most {peak:.0f} MB",
        flush=True,
    )
    with session.loader:
        measure.gather_scores(session)


def _arm(session: Session, folder: Path, kills: int) -> None:
    parts = session.run.part(0).parent
    for kill in range(kills):
        wanted = session.shards * (kill + 1) // (kills + 1)
        while len(list(parts.glob("part-*.parquet"))) < wanted:
            time.sleep(0.05)
        (folder / "armed").touch()
        print(f"armed after {wanted} shards", flush=True)


def counted(scores: Path, first: Path, ids: set[str]) -> str:
    """Rows of a run that are lost and doubled, and whether the bytes are those of the first."""
    rows = Counter(pd.read_parquet(scores, columns=["sample_id"])["sample_id"])
    lost, doubled = len(ids - set(rows)), sum(n - 1 for n in rows.values())
    if scores == first:
        return f"{lost} rows lost, {doubled} doubled"
    same = "the same bytes" if scores.read_bytes() == first.read_bytes() else "OTHER BYTES"
    return f"{lost} rows lost, {doubled} doubled, {same}"


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the command line, and print a line a runner."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", action="append")
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--alone", type=int)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        by_runner(Path(asked.one[0]), Path(asked.one[1]), asked.runner[0], asked.kills)
        return
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        manifest = write_world(folder, asked.shards)
        alone = min(asked.shards, asked.alone or asked.shards)
        seconds = in_this_process(manifest, folder / "here", alone)
        print(f"no runner: {alone} shards in {seconds:.1f} s", flush=True)
        ids = set(pd.read_parquet(folder / "here" / "samples.parquet")["sample_id"])
        first = folder / "here" / "scores.parquet"
        for runner in asked.runner or RUNNERS:
            out = folder / runner.partition(":")[0]
            one = ["--one", str(manifest), str(out), "--runner", runner]
            command = [sys.executable, __file__, *one, "--kills", str(asked.kills)]
            spent = _of_children()
            code = subprocess.run(command, check=False).returncode
            print(f"{runner}: {_of_children() - spent:.1f} CPU s, all processes and their start")
            if code:
                print(f"{runner}: ended with {code}; the parts that are there stay", flush=True)
                continue
            first = first if first.exists() else out / "scores.parquet"
            print(f"{runner}: {counted(out / 'scores.parquet', first, ids)}", flush=True)


if __name__ == "__main__":
    main()
