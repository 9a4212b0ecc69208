"""A run beside those before it: compared, reviewed, put into the history and held to its gate."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import RunFolderError
from audit.findings import Comparison, Findings, RunFacts, read_facts, read_findings
from audit.history import compare as beside
from audit.history.confirmed import waiting
from audit.history.gate import gate_failures
from audit.history.pairing import DONORS
from audit.history.predecessors import accepted_run, finished_runs, run_before
from audit.history.reviews import read_reviews, standing_reviews
from audit.history.trends import history_rows, laid_over, read_history, record_runs, trends
from audit.measuring.columns import SCORE_COLUMNS
from audit.pipeline.stored_tables import check_table
from audit.run_folder import RunFolder

_COLUMNS = [
    *("sample_id", "sha256", "label_name", "foreground_area", "margin"),
    *("swap_same_margin", "swap_same_probability", "swap_same_probabilities"),
    *("swap_other_margin", "swap_other_own_margin"),
    *("swap_other_probability", "swap_other_probabilities"),
]
_log = logging.getLogger(__name__)


def compare(earlier: str | Path, later: str | Path) -> Comparison:
    """Say class by class what changed between two runs: new, worsened, unchanged, fixed, ...

    Parameters
    ----------
    earlier, later : str or Path
        Two run folders, in this order. No model is loaded.

    Returns
    -------
    Comparison
        With intervals, the change that could have been seen, and whether and why the runs are
        ``paired``, ``unpaired`` or ``not_comparable``.

    Raises
    ------
    RunFolderError
        A folder holds no finished run of this version.
    """
    folders = [RunFolder(Path(path).resolve()) for path in (earlier, later)]
    return beside.compare(*(_measured(folder) for folder in folders))


def _measured(run: RunFolder, findings: Findings | None = None) -> beside.Measured:
    facts = read_facts(run.run_json)
    findings = findings or read_findings(run.findings)
    check_table(run.scores, SCORE_COLUMNS)
    try:
        held = pq.read_schema(run.scores).names
        columns = [*_COLUMNS, *(name for name in DONORS if name in held)]
        scores = pd.read_parquet(run.scores, columns=columns)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise RunFolderError(
            f"{run.path}: scores.parquet cannot be read ({type(error).__name__}). Has the run come "
            "as far? Resume it first."
        ) from error
    return beside.Measured(run.path.name, facts, findings, scores)


def with_history(run: RunFolder, findings: Findings) -> Findings:
    """Lay a run beside the accepted or the last finished one of its audit; then reviews and gate.

    Parameters
    ----------
    run : RunFolder
        With scores.
    findings : Findings
        Of the run.
    """
    facts = read_facts(run.run_json)
    findings = findings.model_copy(update={"comparison": _to_predecessor(run, facts, findings)})
    today = datetime.now(UTC).date()
    reviews = standing_reviews(read_reviews(run.reviews), findings, facts.hashes.model, today)
    findings = findings.model_copy(update={"reviews": reviews})
    findings = _beside_earlier(run, facts, findings)
    failures = gate_failures(findings.summary.gate, _as_accepted(run, facts, findings))
    summary = findings.summary.model_copy(
        update={"gate_passed": not failures, "gate_failures": failures}
    )
    return findings.model_copy(update={"summary": summary})


def _as_accepted(run: RunFolder, facts: RunFacts, findings: Findings) -> Findings:
    """What a gate asks: in a run that somebody accepted nothing is new."""
    if accepted_run(run, facts.name) != facts.run_id:
        return findings
    measured = _measured(run, findings)
    return findings.model_copy(update={"comparison": beside.compare(measured, measured)})


def _to_predecessor(run: RunFolder, facts: RunFacts, findings: Findings) -> Comparison | None:
    before = run_before(run, facts)
    if before is None:
        return None
    try:
        found = beside.compare(_measured(before), _measured(run, findings))
        accepted = found.earlier.run_id == accepted_run(run, facts.name)
        return found.model_copy(update={"earlier_is_accepted": accepted})
    except RunFolderError as error:
        _log.warning("the run before this one cannot be compared: %s", error)
        return None


def _beside_earlier(run: RunFolder, facts: RunFacts, findings: Findings) -> Findings:
    """Add the trends and what waits, and put the run into the history of its audit.

    Of one that lies alone there is no history.
    """
    others = list(finished_runs(run, facts.name))
    if not others and not run.history.exists():
        return findings.model_copy(update={"trends": (), "waiting": ()})
    rows = []
    if not run.history.exists():
        for other, found in others:
            # A run of another version is no reason to have no history.
            with suppress(RunFolderError):
                rows += history_rows(other.path.name, found, read_findings(other.findings))
    try:
        history = laid_over(
            read_history(run.history), rows + history_rows(run.path.name, facts, findings)
        )
        findings = findings.model_copy(update={"trends": trends(history, facts)})
        held_back = waiting(findings, repeated=bool(facts.confirmed))
        findings = findings.model_copy(update={"waiting": held_back})
        rows += history_rows(run.path.name, facts, findings)
        history = record_runs(run.history, rows)
        return findings.model_copy(update={"trends": trends(history, facts)})
    except OSError as error:
        _log.warning("history.parquet: not written (%s)", error)
        return findings.model_copy(update={"trends": (), "waiting": ()})
