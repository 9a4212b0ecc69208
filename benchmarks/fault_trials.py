"""An audit that can be disturbed, and what became of its rows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
QUICK = ("report.formats=[]", "run.shard_size=12")
RUN = (
    "import sys, audit\n"
    "out, overrides = sys.argv[2] or None, sys.argv[3:]\n"
    "audit.run(sys.argv[1], out, device='cpu', overrides=overrides)\n"
)


@dataclass(frozen=True)
class World:
    """The audit that is disturbed, and what it finds when it is not."""

    manifest: Path
    scores: bytes
    images: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What became of some injected faults."""

    injected: int
    survived: int
    lost: int
    doubled: int


def started(manifest: Path, out: str, **environment: str) -> subprocess.Popen[str]:
    """An audit in a process and a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(manifest), out, *QUICK],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(manifest: Path, out: Path) -> None:
    """Audit, or go on, until the run is done."""
    running = started(manifest, str(out))
    said = running.communicate(timeout=PATIENCE)[1]
    if running.returncode:
        raise RuntimeError(f"the run did not end well: {said[-500:]}")


def prepared(folder: Path) -> World:
    """Paint the world, break three of its images, and audit it undisturbed."""
    from planted import write_dataset

    manifest = write_dataset(folder, [1], per_class=24)
    for index in (3, 9, 15):
        (folder / "images" / "ant" / f"{index:03d}.png").write_bytes(b"broken")
    began = time.monotonic()
    finished(manifest, folder / "whole")
    spent = time.monotonic() - began
    images = len(list((folder / "images").rglob("*.png")))
    return World(manifest, (folder / "whole" / "scores.parquet").read_bytes(), images, spent)


def outcome(world: World, run: Path, injected: int = 1) -> Trial:
    """Compare a run with the undisturbed one."""
    scored = pd.read_parquet(run / "scores.parquet")["sample_id"].tolist()
    left_out = pd.read_csv(run / "problems.csv", dtype=str, keep_default_na=False)
    listed = {*scored, *left_out["sample_id"]}
    lost, doubled = world.images - len(listed), len(scored) - len(set(scored))
    same = (run / "scores.parquet").read_bytes() == world.scores
    survived = injected if same and not lost and not doubled else 0
    return Trial(injected, survived, lost, doubled)


def decoding_children(parent: int) -> list[int]:
    """The children that decode, whichever thread began them."""
    found = []
    with suppress(OSError):
        for held in Path(f"/proc/{parent}/task").glob("*/children"):
            for child in held.read_text().split():
                if b"decoding_child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found
