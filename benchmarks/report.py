"""Time, peak memory and bytes of the report for synthetic runs of 10, 100 and 1,000 classes.

Each measurement runs in a process of its own, so that its peak of memory is its own. Exhibits are
painted, not photographed: their pictures are smaller than those of real images.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZES = (10, 100, 1000)
FORMATS = ("html", "pdf")


def measure(folder: Path, form: str) -> dict[str, float]:
    """Render one format and say what it took: seconds, CPU seconds, peak MB, MB written."""
    from audit.report.render import render_report

    began, cpu = time.perf_counter(), time.process_time()
    written = render_report(folder, [form])[form]
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bytes": written.stat().st_size / 1e6,
    }


def main() -> None:
    """Paint the runs, measure each in a child process, print a table."""
    sys.path.insert(0, str(ROOT / "tests"))
    from painted import write_run

    sizes = [int(argument) for argument in sys.argv[1:]] or SIZES
    print(f"{'classes':>8} {'format':>7} {'wall s':>8} {'CPU s':>7} {'peak MB':>8} {'file MB':>8}")
    for classes in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_run(Path(folder), [f"class number {i}" for i in range(classes)])
            for form in FORMATS:
                command = [sys.executable, __file__, "--one", folder, form]
                done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, text=True)
                held = json.loads(done.stdout)
                print(
                    f"{classes:>8,} {form:>7} {held['seconds']:>8.1f} {held['cpu']:>7.1f} "
                    f"{held['peak']:>8.0f} {held['bytes']:>8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.path.insert(0, str(ROOT))
        print(json.dumps(measure(Path(sys.argv[2]), sys.argv[3])))
    else:
        main()
