"""What a run survives: faults injected into real audits, and the rows that they cost.

    python -m benchmarks.faults [--times N] [--only KIND ...]

A small world, some of whose images are broken, is audited undisturbed. Then each fault is injected
into an audit of the same, which is resumed by the same command. It survived if in the end every
image is a row of the scores or of problems.csv, none twice, and the scores are those of the
undisturbed run to the last byte.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from benchmarks.fault_trials import (
    PATIENCE,
    QUICK,
    ROOT,
    RUN,
    Trial,
    World,
    decoding_children,
    finished,
    outcome,
    prepared,
    started,
)


def _killed(world: World, folder: Path, number: signal.Signals, chance: random.Random) -> Trial:
    """Signal the whole group at some moment of its work, then go on."""
    run = folder / "run"
    running = started(world.manifest, str(run))
    while not run.exists() and running.poll() is None:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, world.seconds))
    injected = int(running.poll() is None)
    if injected:
        os.killpg(running.pid, number)
    running.communicate(timeout=PATIENCE)
    finished(world.manifest, run)
    return outcome(world, run, injected)


def kill(world: World, folder: Path, chance: random.Random) -> Trial:
    """``kill -9``."""
    return _killed(world, folder, signal.SIGKILL, chance)


def stop(world: World, folder: Path, chance: random.Random) -> Trial:
    """SIGTERM."""
    return _killed(world, folder, signal.SIGTERM, chance)


def orphan(world: World, folder: Path, chance: random.Random) -> Trial:
    """A child process that decodes images is killed; the run is not told."""
    run = folder / "run"
    running = started(world.manifest, str(run))
    while not (children := decoding_children(running.pid)) and running.poll() is None:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 1))
    for child in children[:1]:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    running.communicate(timeout=PATIENCE)
    if running.returncode:
        finished(world.manifest, run)
    return outcome(world, run, len(children[:1]))


def parts(world: World, folder: Path, chance: random.Random) -> Trial:
    """Finished shards are cut off, emptied, flipped in a bit, exchanged and removed."""
    run, names = folder / "run", sorted((world.manifest.parent / "whole" / "scores").iterdir())
    running = started(world.manifest, str(run))
    while len(list((run / "scores").glob("part-*"))) < len(names) and running.poll() is None:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=PATIENCE)
    chosen = [run / "scores" / name.name for name in chance.sample(names, len(DAMAGE) + 1)]
    for path, damage in zip(chosen, DAMAGE.values(), strict=False):
        damage(path, chosen[-1], chance)
    for path in (run / "scores.parquet", run / "problems.csv"):
        path.unlink(missing_ok=True)
    finished(world.manifest, run)
    return outcome(world, run, len(DAMAGE))


def _flip(path: Path, _: Path, chance: random.Random) -> None:
    held = bytearray(path.read_bytes())
    held[chance.randrange(len(held))] ^= 1 << chance.randrange(8)
    path.write_bytes(held)


DAMAGE: Mapping[str, Callable[[Path, Path, random.Random], object]] = {
    "cut off": lambda path, other, chance: os.truncate(
        path, chance.randrange(1, path.stat().st_size)
    ),
    "emptied": lambda path, other, chance: os.truncate(path, 0),
    "flipped": _flip,
    "exchanged": lambda path, other, chance: shutil.copy(other, path),
    "removed": lambda path, other, chance: path.unlink(missing_ok=True),
}


def full(world: World, folder: Path, chance: random.Random) -> Trial:
    """The disc is full at some moment: a file system in memory, in a namespace of its own."""
    small, kept = folder / "small", folder / "kept"
    small.mkdir()
    size = chance.randrange(8, 400)
    script = (
        f"mount -t tmpfs -o size={size}k,mode=777 tmpfs {small} || exit 99\n"
        f'"$@"; code=$?; cp -r {small}/. {kept}; exit $code'
    )
    command = [sys.executable, "-c", RUN, str(world.manifest), str(small / "run"), *QUICK]
    done = subprocess.run(
        [shutil.which("unshare") or "/usr/bin/unshare", "-rm", "sh", "-c", script, "sh", *command],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
        text=True,
    )
    if done.returncode in (0, 99):
        # It was not full, or nothing may be mounted here.
        return Trial(0, 0, 0, 0)
    finished(world.manifest, kept / "run")
    return outcome(world, kept / "run")


def triggers(world: World, folder: Path, chance: random.Random) -> Trial:
    """Two triggers at once, without a run folder of their own."""
    manifest = folder / "world" / world.manifest.name
    shutil.copytree(
        world.manifest.parent, manifest.parent, ignore=shutil.ignore_patterns("whole", "trial*")
    )
    home = folder / "home"
    home.mkdir()
    both = [_there(manifest, home) for _ in range(2)]
    for running in both:
        running.communicate(timeout=PATIENCE)
    found = [path.parent for path in home.glob("runs/*/*/run.json") if not path.parent.is_symlink()]
    if len(found) != 1 or any(running.returncode for running in both):
        return Trial(1, 0, 0, max(0, len(found) - 1))
    return outcome(world, found[0])


def _there(manifest: Path, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(manifest), "", *QUICK],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )


def server(world: World, folder: Path, chance: random.Random) -> Trial:
    """Prefect's server is away: the command line audits all the same."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    run = folder / "run"
    laid_over = [word for override in QUICK for word in ("--set", override)]
    command = ["run", str(world.manifest), "--out", str(run), "--device", "cpu", *laid_over]
    done = subprocess.run(
        [sys.executable, "-m", "flows", *command],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        },
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    # The broken images are an eighth of their class, and the run says that it is incomplete.
    return outcome(world, run) if done.returncode in (0, 4) else Trial(1, 0, 0, 0)


FAULTS: Mapping[str, tuple[Callable[[World, Path, random.Random], Trial], float]] = {
    "kill": (kill, 1.0),
    "stop": (stop, 0.25),
    "orphan": (orphan, 0.25),
    "parts": (parts, 0.3),
    "full": (full, 0.5),
    "triggers": (triggers, 0.15),
    "server": (server, 0.1),
}
"""What is injected, and how often for each ``kill -9``."""


def trials(world: World, kind: str, times: int, home: Path) -> Iterator[Trial]:
    """Inject one kind of fault again and again; each time at another moment."""
    inject, share = FAULTS[kind]
    for number in range(max(1, round(times * share))):
        folder = home / f"trial-{kind}-{number}"
        folder.mkdir()
        try:
            yield inject(world, folder, random.Random(f"{kind} {number}"))  # noqa: S311
        except RuntimeError as error:
            # It could not be resumed: all that it had is lost.
            print(error, file=sys.stderr)
            yield Trial(1, 0, world.images, 0)
        shutil.rmtree(folder)


def main() -> None:
    """Inject all kinds, print a table; ends with 1 where a row was lost."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--times", type=int, default=20, help="kills; the rest in proportion")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    asked = parser.parse_args()
    print("| fault | injected | survived | rows lost | rows doubled |\n|---|---|---|---|---|")
    harmed = False
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        world = prepared(home)
        for kind in asked.only:
            held = list(trials(world, kind, asked.times, home))
            sums = [
                sum(getattr(trial, name) for trial in held)
                for name in ("injected", "survived", "lost", "doubled")
            ]
            said = (FAULTS[kind][0].__doc__ or "").strip().rstrip(".")
            print(f"| {said} | {' | '.join(map(str, sums))} |", flush=True)
            harmed |= sums[0] != sums[1]
    sys.exit(harmed)


if __name__ == "__main__":
    main()
