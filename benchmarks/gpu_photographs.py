"""Photographs as cameras write them: 12 megapixels, of which a network sees 224 pixels a side."""

from __future__ import annotations

import collections
import time

from audit.dataset.batches import iterate_batches
from benchmarks.gpu_bench import Bench
from benchmarks.workload import paint, pictures, samples_of

SIZE = (4000, 3000)
FILES = 32
"""Painted; the requests go round them, since to decode one again costs as much."""


def large_photographs(bench: Bench) -> None:
    """Images a second of loading alone, and of files to rows."""
    folder = bench.folder / "large"
    folder.mkdir()
    paint(folder, min(FILES, bench.asked.count), SIZE)
    count = min(256, bench.asked.count)
    table, held = samples_of(pictures(folder, count)), bench.table
    with bench.loader() as loader:
        collections.deque(iterate_batches(table.iloc[:FILES], loader, FILES), maxlen=0)
        began = time.perf_counter()
        collections.deque(iterate_batches(table, loader, bench.asked.batch), maxlen=0)
        alone = count / (time.perf_counter() - began)
    bench.table = table
    try:
        name = bench.asked.models[0]
        seconds, _, _ = bench.scored(bench.engine(name), "gradient", count, None)
    finally:
        bench.table = held
    bench.say(
        f"{name}, photographs of 12 megapixels",
        f"loading alone {alone:.0f} images/s, files to rows {count / seconds:.0f}",
    )
