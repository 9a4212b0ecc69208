"""CycloneDX 1.6 (ECMA-424): the model as a component, its model card with a metric a class."""

from __future__ import annotations

import json
import re
import uuid

from audit.findings import Effect, Findings, RunFacts
from audit.report.sentences import english
from audit.report.untrusted import clean_text, discreet, discreet_name

_METRICS: tuple[tuple[Effect, str], ...] = (
    ("background_gap", "background gap (probability lost when the background is exchanged)"),
    ("foreground_mass", "foreground mass (share of saliency on the object)"),
)


def cyclonedx(findings: Findings, facts: RunFacts) -> bytes:
    """Write a bill of materials of the audited model, with what the audit measured.

    Parameters
    ----------
    findings, facts : Findings, RunFacts
        Of one run.

    Returns
    -------
    bytes
        JSON in UTF-8.
    """
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same run gives the same bill.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, facts.run_id)}",
        "version": 1,
        "metadata": {
            "timestamp": facts.finished or facts.started,
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": "saliency-audit",
                        "version": facts.versions.get("saliency-audit", "unknown"),
                    }
                ]
            },
            "component": _model(findings, facts),
        },
        "components": [
            {
                "type": "data",
                "bom-ref": "dataset",
                "name": discreet(findings.audit.dataset, 200) or "dataset",
                **_hashes(facts.hashes.data),
            }
        ],
    }
    return (json.dumps(bom, indent=1, ensure_ascii=True) + "\n").encode()


def _model(findings: Findings, facts: RunFacts) -> dict[str, object]:
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": clean_text(facts.model_name, 200) or "model",
        **_hashes(facts.hashes.model),
        "modelCard": {
            "modelParameters": {"task": "image classification", "datasets": [{"ref": "dataset"}]},
            "quantitativeAnalysis": {"performanceMetrics": _metrics(findings)},
            "considerations": {
                "technicalLimitations": [english(limit) for limit in findings.limits],
            },
        },
        "properties": [
            {"name": f"saliency-audit:verdict:{discreet_name(f.label_name)}", "value": f.verdict}
            for f in findings.findings
        ],
    }


def _metrics(findings: Findings) -> list[dict[str, object]]:
    """A metric a class and measurement, where there is one."""
    found = []
    for finding in findings.findings:
        for effect, name in _METRICS:
            estimate = finding.estimate(effect)
            if estimate.value is None:
                continue
            metric: dict[str, object] = {
                "type": name,
                "value": f"{estimate.value:.6g}",
                "slice": discreet_name(finding.label_name),
            }
            if estimate.low is not None and estimate.high is not None:
                metric["confidenceInterval"] = {
                    "lowerBound": f"{estimate.low:.6g}",
                    "upperBound": f"{estimate.high:.6g}",
                }
            found.append(metric)
    return found


def _hashes(sha256: str) -> dict[str, object]:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        return {}
    return {"hashes": [{"alg": "SHA-256", "content": sha256}]}
