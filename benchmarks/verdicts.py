"""``make bench-verdicts``: CPU seconds and memory of the verdicts, by rows and classes.

The rows are drawn from those of a finished run and given to many classes, each image with other
donors: a swap that was answered with its label, or with its donor's class, still is. Each
measurement has a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
IMAGES, PAIRS, DONORS = 50, 3, 2
"""Of a class: images with experiments, donor classes that are followed up, swaps of each."""
CHUNK = 100_000
_EXPERIMENTS = ("swap_", "background_", "object_only", "foreground_noise")


class Drawing:
    """Draws rows from those of a run for other classes.

    Parameters
    ----------
    source : Path
        A finished run.
    classes : int
        To which the rows are given.
    """

    def __init__(self, source: Path, classes: int) -> None:
        self.source, self.classes = source, classes
        self.names = [f"class{label:04}" for label in range(classes)]
        self.random = np.random.default_rng(0)

    def write(self, run: Path, rows: int) -> None:
        """Write what verdicts are made from into an empty folder."""
        for name in ("manifest.yaml", "controls.json"):
            shutil.copy(self.source / name, run / name)
        facts = json.loads((self.source / "run.json").read_text())
        facts |= {"class_names": self.names, "labels": dict(enumerate(self.names))}
        (run / "run.json").write_text(json.dumps(facts))
        drawn_from, writer = pq.read_table(self.source / "scores.parquet"), None
        for start in range(0, rows, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, rows))
            part = self._scores(drawn_from, numbers)
            writer = writer or pq.ParquetWriter(run / "scores.parquet", part.schema)
            writer.write_table(part)
        if writer is not None:
            writer.close()
        pq.write_table(self._follow_up(rows), run / "follow_up.parquet")

    def _scores(self, source: pa.Table, numbers: NDArray[np.int64]) -> pa.Table:
        drawn = source.take(pa.array(self.random.integers(0, len(source), len(numbers))))
        labels, was = numbers % self.classes, drawn["label"].to_numpy()
        asked = pa.array(numbers // self.classes < IMAGES)
        columns = {}
        for field in drawn.schema:
            column = drawn[field.name].combine_chunks()
            if field.name in ("sample_id", "path"):
                column = pa.array(_ids(self.names, labels, numbers), field.type)
            elif field.name == "label":
                column = pa.array(labels, field.type)
            elif field.name == "label_name":
                column = pa.array([self.names[label] for label in labels], field.type)
            elif field.name.endswith("prediction"):
                column = self._answers(column, was, labels)
            if field.name.startswith(_EXPERIMENTS):
                column = pc.if_else(asked, column, pa.scalar(None, field.type))
            columns[field.name] = column
        table = pa.table(columns, drawn.schema)
        return self._with_donors(table, was, labels)

    def _with_donors(
        self, table: pa.Table, was: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> pa.Table:
        """Donor classes among all, and answers that follow them."""
        donors = table["swap_other_donor_labels"].combine_chunks()
        held = np.repeat(np.arange(len(table)), _lengths(donors))
        others = (labels[held] + self.random.integers(1, self.classes, len(held))) % self.classes
        changed = {"swap_other_donor_labels": _laid_in(donors, others)}
        for kind in ("same", "other"):
            name = f"swap_{kind}_predictions"
            answers = table[name].combine_chunks()
            place = np.repeat(np.arange(len(table)), _lengths(answers))
            values = self._answers(answers.flatten(), was[place], labels[place]).to_numpy()
            if kind == "other":
                became = answers.flatten().to_numpy() == donors.flatten().to_numpy()
                values = np.where(became, others, values)
            changed[name] = _laid_in(answers, values)
        for name, column in changed.items():
            table = table.set_column(table.schema.get_field_index(name), name, column)
        return table

    def _answers(
        self, column: pa.Array, was: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> pa.Array:
        """Right answers stay right; the others are of any class."""
        right = pc.equal(column, pa.array(was, column.type))
        any_class = pa.array(self.random.integers(0, self.classes, len(labels)), column.type)
        return pc.if_else(right, pa.array(labels, column.type), any_class)

    def _follow_up(self, rows: int) -> pa.Table:
        """Each class on backgrounds of its own, and of three others."""
        source = pq.read_table(self.source / "follow_up.parquet").to_pandas()
        source = source[source["look"] == 1]
        at_home = (source["donor_label"] == source["label"]).to_numpy()
        numbers = np.arange(min(rows, IMAGES * self.classes))
        labels, parts = numbers % self.classes, []
        for pair in range(1 + PAIRS):
            pool = np.flatnonzero(at_home if pair == 0 else ~at_home)
            for _ in range(DONORS):
                part = source.iloc[self.random.choice(pool, len(numbers))].copy()
                donor = (labels + 7 * pair) % self.classes
                became = (part["prediction"] == part["donor_label"]).to_numpy()
                right = (part["prediction"] == part["label"]).to_numpy()
                other = self.random.integers(0, self.classes, len(numbers))
                part["prediction"] = np.select([right, became], [labels, donor], other)
                part["sample_id"] = _ids(self.names, labels, numbers)
                parts.append(part.assign(label=labels, donor_label=donor))
        schema = pq.read_schema(self.source / "follow_up.parquet")
        tables = [pa.Table.from_pandas(part, schema, preserve_index=False) for part in parts]
        return pa.concat_tables(tables).replace_schema_metadata(None)


def _ids(names: Sequence[str], labels: NDArray[np.int64], numbers: NDArray[np.int64]) -> list[str]:
    return [f"{names[label]}/{number}.jpg" for label, number in zip(labels, numbers, strict=True)]


def _lengths(lists: pa.Array) -> NDArray[np.int64]:
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)


def _laid_in(lists: pa.Array, values: NDArray[np.int64]) -> pa.Array:
    """Lists of the same lengths, and missing where those are, with other values."""
    offsets = np.concatenate([[0], np.cumsum(_lengths(lists))]).astype(np.int32)
    offered = pa.array(values, lists.type.value_type)
    made = pa.ListArray.from_arrays(pa.array(offsets), offered, lists.type)
    return pc.if_else(pc.is_valid(lists), made, pa.scalar(None, lists.type))


def measure(folder: Path) -> dict[str, object]:
    """Decide a run: CPU seconds, peak MB, MB of it before, and a hash of all that was found."""
    from audit.manifest import load_manifest
    from audit.pipeline.decide import decide
    from audit.run_folder import RunFolder

    run = RunFolder(folder)
    manifest = load_manifest(run.manifest, expand=False)
    before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    decided = decide(run, manifest)
    spent = time.process_time() - cpu
    found = hashlib.sha256(decided.findings.model_dump_json().encode())
    for table in (decided.confusions, decided.swap_counts):
        found.update(json.dumps(table.to_pylist()).encode())
    return {
        "cpu": spent,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "before": before / 1024,
        "verdicts": str(decided.findings.summary.model_dump(include={"suspect", "watch", "clear"})),
        "sha256": found.hexdigest()[:12],
    }


def main() -> None:
    """Draw the rows, decide each number of them in a child process, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run with a follow-up")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--one", action="store_true", help="decide this run, print JSON")
    parser.add_argument("--keep", type=Path, help="folder for the runs that are drawn")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.run)))
        return
    print(f"{'rows':>10} {'CPU s':>7} {'peak MB':>8} {'of it before':>13}")
    with tempfile.TemporaryDirectory() as temporary:
        for rows in options.rows:
            folder = (options.keep or Path(temporary)) / f"{rows}-{options.classes}"
            if not folder.exists():
                folder.mkdir(parents=True)
                Drawing(options.run, options.classes).write(folder, rows)
            command = [sys.executable, "-m", "benchmarks.verdicts", str(folder), "--one"]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, text=True)
            held = json.loads(done.stdout)
            print(
                f"{rows:>10,} {held['cpu']:>7.1f} {held['peak']:>8.0f} {held['before']:>13.0f} "
                f"{held['sha256']} {held['verdicts']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
