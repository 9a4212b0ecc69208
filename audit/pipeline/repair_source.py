"""What is repaired: a run, with the model and images it was about, and why it may be impossible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit.errors import RunFolderError
from audit.findings import Findings, SplitPart, Verdict, read_facts, read_findings
from audit.pipeline.opening import Declared, LaidOver, open_declared
from audit.pipeline.session import Session
from audit.repairs.split import LEAST_IMAGES, split_images
from audit.run_folder import RunFolder

LEAST_PROOF = 10
"""Proof images of a class below which no rule gives a verdict."""


@dataclass(frozen=True, eq=False)
class Source:
    """What is repaired: the run, and the model and images that it was about."""

    run: RunFolder
    findings: Findings
    session: Session
    scores: pd.DataFrame
    parts: pd.Series[SplitPart]

    def rows(self, part: SplitPart) -> pd.DataFrame:
        """The rows of the list of samples that are in a part."""
        return self.session.table.loc[self.parts.index[self.parts == part]]


def folder_for(run: Path, out: str | Path | None) -> Path:
    """Choose the folder of a repair, and see that nothing else lies there.

    Raises
    ------
    RunFolderError
        It holds something that no repair wrote.
    """
    folder = Path(out).resolve() if out else run.with_name(f"{run.name}-repair")
    taken = folder.exists() and any(path.name != ".lock" for path in folder.iterdir())
    if taken and not (folder / "split.csv").exists():
        raise RunFolderError(
            f"{folder}: not empty and not the folder of a repair. Choose another --out."
        )
    return folder


def open_source(
    run: RunFolder, folder: Path, manifest: Declared, overrides: LaidOver, device: str
) -> Source:
    """Open the model that a run was about, and see that it is that one.

    Raises
    ------
    RunFolderError
        The run is not finished, or was of another model or dataset than the manifest declares; or
        the new weights would lie where the old ones do.
    """
    findings, facts = read_findings(run.findings), read_facts(run.run_json)
    session = open_declared(manifest, overrides, limit=facts.limit, device=device)
    scores = pd.read_parquet(run.scores)
    same_model = session.model.sha256 == facts.hashes.model
    same_images = scores["sample_id"].tolist() == session.table["sample_id"].tolist()
    if not (same_model and same_images):
        raise RunFolderError(
            f"{run.path.name}: the run was of {'other images' if same_model else 'another model'} "
            "than the manifest declares now. Name the manifest of that audit with --manifest, with "
            "the same --set, or audit again."
        )
    weights = weights_file(session)
    if weights is not None and weights.parent == folder:
        raise RunFolderError(
            f"{folder}: holds the weights that would be repaired. Choose another --out."
        )
    parts = split_images(scores, session.manifest.run.seed)
    return Source(run, findings, session, scores, parts)


def why_not(source: Source) -> str | None:
    """Why nothing can be refitted, before anything is measured; None where it can be tried."""
    suspects = source.findings.with_verdict(Verdict.SUSPECT)
    if not source.session.has_foregrounds:
        return "the audit had no foregrounds, so there are no swaps to refit on"
    if not suspects:
        return "the run found no class suspect"
    swapped = source.scores[source.scores["swap_other_margin"].notna()]
    counts = swapped["label"].value_counts()
    images_of = {finding.label_name: int(counts.get(finding.label, 0)) for finding in suspects}
    few = [f"{name} ({count})" for name, count in images_of.items() if count < LEAST_IMAGES]
    if few:
        return (
            f"too few images with a foreground to refit on some and to prove it on others: "
            f"{', '.join(few[:5])}; {LEAST_IMAGES} of each suspect class are needed, 40 advised"
        )
    if weights_file(source.session) is None:
        return (
            "the manifest names no weights file (model.weights), so no drop-in file can be written"
        )
    return None


def weights_file(session: Session) -> Path | None:
    """The file that the manifest names in ``model.weights``; None where it is none."""
    named = session.manifest.model.options.get("weights")
    path = session.manifest.path(named) if isinstance(named, str) else None
    return path if path is not None and path.is_file() else None


def proof_minimum(source: Source, suspects: set[int]) -> int:
    """Images that the proof demands of a class: as the manifest, or as many as the suspect have."""
    proof = source.scores.loc[source.parts.index[source.parts == SplitPart.PROOF]]
    swapped = proof[proof["swap_other_margin"].notna() & proof["label"].isin(suspects)]
    fewest = int(swapped["label"].value_counts().min()) if len(swapped) else LEAST_PROOF
    return min(source.session.manifest.verdict.minimum_images, max(LEAST_PROOF, fewest))
