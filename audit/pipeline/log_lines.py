"""What a run writes into somebody else's log: about ten lines, to be read in a minute."""

from __future__ import annotations

import logging

from audit.findings import Findings, Verdict, read_facts
from audit.pipeline.report import reports_of
from audit.pipeline.session import Session
from audit.report.formatting import brief_interval, plural, share
from audit.report.sentences.names import kind_word
from audit.report.sentences.outcome import outcome_line
from audit.report.untrusted import cleaned
from audit.run_folder import RunFolder

SUSPECTS = 20
"""Suspect classes named, at most."""

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


def log_start(logger: Logger, session: Session) -> None:
    """What is audited, and into which folder."""
    logger.info("Run folder: %s", session.run.path)
    logger.info(
        "%s of %s, %s on %s; foregrounds: %s; maps: %s",
        plural(len(session.table), "image"),
        plural(len(session.labels), "class", "classes"),
        session.model.name,
        session.model.device,
        session.source,
        session.manifest.saliency.method,
    )


def log_end(logger: Logger, findings: Findings, run: RunFolder) -> None:
    """How fast it was, each suspect class with its gap, the reports, and how it ended."""
    findings = cleaned(findings)
    summary = findings.summary
    facts = read_facts(run.run_json)
    seconds = facts.timings.get("scores") or 0.0
    logger.info(
        "Scored %s of %s%s; accuracy %s",
        f"{summary.scored:,}",
        plural(summary.images, "image"),
        f" in {seconds:.0f} s ({summary.images / seconds:.1f} a second)" if seconds else "",
        share(summary.accuracy),
    )
    suspects = findings.with_verdict(Verdict.SUSPECT)
    for finding in suspects[:SUSPECTS]:
        logger.warning(
            "Suspect: %s, %s; gap %s points",
            finding.label_name[:60],
            kind_word(finding.kind, finding.attractor) or "kind unknown",
            brief_interval(finding.estimate("background_gap")),
        )
    if len(suspects) > SUSPECTS:
        logger.warning("And %d more suspect classes", len(suspects) - SUSPECTS)
    for path in reports_of(run):
        logger.info("Report: %s", path)
    if facts.published:
        logger.info("Published: %s", facts.published)
    if facts.publish_error:
        logger.warning("Not published: %s", facts.publish_error)
    logger.log(logging.INFO if summary.gate_passed else logging.ERROR, "%s", outcome_line(findings))
