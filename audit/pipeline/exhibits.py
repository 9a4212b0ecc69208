"""The pictures of samples that the report shows, by class, and the mean map of each suspect one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit.findings import Exhibit, write_index
from audit.models.hashes import file_sha256
from audit.pipeline.decide import Decided
from audit.pipeline.drawn_parts import drawn, forget_parts, gathered, part_file
from audit.pipeline.mean_maps import average_maps
from audit.pipeline.measure import open_bank
from audit.pipeline.progress import SILENT, Progress, counted, passed_on
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.report.exhibits import EXHIBIT_COLUMNS, Choice, choose, draw

_OF_PART = 64
"""Pictures a part, at least: opening the scores again costs as much as some."""
_BY_PARTS = 32
"""One that is measured by its parts, too, takes the time of so many that are not."""
_TOLD = "exhibits, samples"


@dataclass(frozen=True)
class ExhibitPart:
    """What is shown of some classes.

    Parameters
    ----------
    number : int
        By which it is named.
    choices : tuple of Choice
        All of these classes.
    of : str
        What is equal where all that was measured before is the same.
    """

    number: int
    choices: tuple[Choice, ...]
    of: str

    def path(self, session: Session) -> Path:
        """The list of its pictures; of other choices or scores it has another name."""
        of = (session.key, dataclasses.asdict(self))
        return part_file(session.run.exhibits, f"{self.number:05d}", *of)


def draw_exhibits(
    session: Session,
    decided: Decided,
    progress: Progress = SILENT,
    runner: StepRunner = SEQUENTIAL,
) -> None:
    """Draw the samples that the report shows, more of them for suspect classes, and mean maps."""
    suspect = {finding.label for finding in decided.suspects}
    _draw_samples(session, suspect, progress, runner)
    average_maps(session, decided.suspects, progress, runner)
    forget_parts(session.run.exhibits)


def _draw_samples(
    session: Session, suspect: set[int], progress: Progress, runner: StepRunner
) -> None:
    run = session.run
    scores = pd.read_parquet(run.scores, columns=EXHIBIT_COLUMNS)
    by_class = [choose(own, is_suspect=label in suspect) for label, own in scores.groupby("label")]
    index, ids = run.exhibits / "index.json", session.table["sample_id"]
    wanted = {(ids[choice.row], choice.role) for own in by_class for choice in own}
    before = drawn(run, index, Exhibit, _pictures_of) or ()
    if wanted == {(e.sample_id, e.role) for e in before}:
        return
    # Before there are parts, of which each would make it.
    open_bank(session)
    parts = {part: len(part.choices) for part in _parts(by_class, file_sha256(run.scores))}
    with counted(progress, "exhibits", "samples", sum(parts.values())):
        runner.run_parts("exhibits", draw_part, session, progress, parts)
    # By class, as the parts are, and within one by role.
    write_index(index, gathered([part.path(session) for part in parts], Exhibit, "exhibits"))


def _pictures_of(entry: Exhibit) -> list[str | None]:
    return [*entry.pictures.model_dump().values()]


def _parts(by_class: list[list[Choice]], of: str) -> Iterator[ExhibitPart]:
    """Neighbouring classes until there is enough to do; suspect ones are almost by themselves."""
    number, held, work = 0, [], 0
    for place, own in enumerate(by_class):
        held += own
        work += sum(1 if choice.part_donor is None else _BY_PARTS for choice in own)
        if held and (work >= _OF_PART or place == len(by_class) - 1):
            yield ExhibitPart(number, tuple(held), of)
            number, held, work = number + 1, [], 0


def draw_part(session: Session, part: ExhibitPart, progress: Progress = SILENT) -> bool:
    """Draw some classes, unless that is done; returns whether it was drawn now."""
    path = part.path(session)
    if drawn(session.run, path, Exhibit, _pictures_of) is not None:
        progress.advance(_TOLD, len(part.choices))
        return False
    table = session.table
    labels = set(table.loc[[choice.row for choice in part.choices], "label"].tolist())
    own = [("label", "in", sorted(labels))]
    scores = pd.read_parquet(session.run.scores, columns=EXHIBIT_COLUMNS, filters=own)
    rows = pd.Series(table.index, index=table["sample_id"])
    scores.index = pd.Index(rows[scores["sample_id"]])
    with session.workbench(passed_on(progress, _TOLD)) as bench:
        names, bank = session.class_names, open_bank(session)
        write_index(path, draw(session.run, scores, part.choices, names, bench, bank))
    return True
