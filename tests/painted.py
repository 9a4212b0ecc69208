"""A run folder such as an audit leaves behind: its record, and pictures painted in a moment."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import record

from audit.findings import (
    AffectedClass,
    AuditFacts,
    ClassFinding,
    CmvEntry,
    Code,
    Confusion,
    ContrastMaps,
    Counts,
    CueCluster,
    CueCrop,
    CueDonor,
    CueDonors,
    Cues,
    Estimate,
    Exhibit,
    ExhibitPictures,
    Findings,
    ForegroundFacts,
    Hashes,
    Indicator,
    IndicatorName,
    Kind,
    MatrixCell,
    MatrixClass,
    MeanMap,
    PartEffects,
    Rate,
    Reason,
    Role,
    RunFacts,
    RunStatus,
    Says,
    Side,
    Strength,
    Swap,
    SwapMatrix,
    Unit,
    Verdict,
    read_facts,
    read_findings,
    write_facts,
    write_findings,
)
from audit.report.overlays import mean_map, outline, overlay, signed_overlay, to_png

PARTS = PartEffects(
    donor_class="husky",
    rival_class="fox",
    surroundings=Estimate(value=-3.9, low=-6.2, high=-1.6),
    body=Estimate(value=-2.4, low=-3.1, high=-1.7),
    control=Estimate(value=-0.1, low=-0.5, high=0.3),
    beyond_control=Estimate(value=-3.8, low=-6.1, high=-1.5),
    difference=Estimate(value=-1.5, low=-2.6, high=-0.4),
    pointed=Estimate(value=-0.9, low=-1.6, high=-0.2),
    pointed_at=Side.SURROUNDINGS,
)
VERDICT_CYCLE = ("suspect", "clear", "clear", "watch", "clear", "inconclusive", "clear", "suspect")
GAPS = {"suspect": 0.42, "watch": 0.07, "clear": 0.01, "inconclusive": 0.03}
EFFECTS = {
    "foreground_area": (0.18, 0.02),
    "foreground_mass": (0.42, 0.05),
    "mass_lift": (1.1, 0.2),
    "attraction": (0.3, 0.1),
}


def paint(seed: int, side: int = 96) -> tuple[Any, Any, Any]:
    """An image with one round object, a map that leans to the left, and the object's mask."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    sky, ground = random.integers(60, 240, 3), random.integers(30, 200, 3)
    image = np.where((rows < 0.6)[..., None], sky, ground) + random.normal(0, 9, (side, side, 3))
    middle = random.uniform(0.35, 0.65, 2)
    foreground = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < random.uniform(0.03, 0.06)
    image[foreground] = random.integers(0, 255, 3) + 40 * columns[foreground][:, None]
    saliency = np.exp(-((rows - 0.75) ** 2 + (columns - 0.3) ** 2) * 14) + 0.15 * foreground
    return image.clip(0, 255).astype(np.uint8), saliency, foreground


def spread(name: str, value: float, half: float) -> dict[str, float]:
    """A value with its ``_low`` and ``_high``."""
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def write_run(
    folder: Path,
    names: Sequence[str],
    *,
    verdicts: Sequence[str] | None = None,
    foregrounds: str = "mask_file",
    problems: int = 3,
    status: str = "complete",
    simonyan: bool = True,
    audience: str = "Product board",
) -> Path:
    """Write a run folder with one finding a name.

    Without `foregrounds` (``"none"``) every class is inconclusive and has no effects.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = foregrounds != "none"
    cycle = verdicts or (VERDICT_CYCLE if known else ("inconclusive",))
    classes = [
        _Class(folder, label, names, Verdict(cycle[label % len(cycle)]), known, simonyan).finding()
        for label in range(len(names))
    ]
    classes.sort(key=lambda f: (f.verdict.urgency, -(f.background_gap or 0.0)))
    made = record.findings(*classes)
    suspect = any(f.verdict is Verdict.SUSPECT for f in classes)
    held = {
        "audit": AuditFacts(
            name="farm animals",
            title=None,
            owner="Ann Example",
            audience=audience,
            dataset="images/test",
            model="resnet18",
            foreground=foregrounds,
        ),
        "summary": made.summary.model_copy(
            update={
                "images": made.summary.images + problems,
                "gate": "suspect",
                "gate_passed": not suspect,
                "accuracy": 0.914,
                "coverage": 0.98,
            }
        ),
        "limits": tuple(Reason(code=code) for code in Code if code.startswith("limit_")),
        "foreground_quality": ForegroundFacts(source=foregrounds, coverage=0.97 if known else 0.0),
        "swap_matrix": _matrix(names) if known else SwapMatrix(),
        "controls": made.controls if known else (),
    }
    write_findings(folder / "findings.json", made.model_copy(update=held))
    write_facts(folder / "run.json", _facts(made.summary.scored, problems, names, status))
    _write_problems(folder / "problems.csv", problems, names)
    with (folder / "classes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([f.label, f.label_name, f.verdict.value] for f in classes)
    return folder


def change(folder: Path, edit: Callable[[Findings], Findings]) -> None:
    """Edit the record of a run folder."""
    path = folder / "findings.json"
    write_findings(path, edit(read_findings(path)))


def change_classes(folder: Path, **update: Any) -> None:
    """Edit every class of a run folder alike."""

    def edit(held: Findings) -> Findings:
        changed = tuple(f.model_copy(update=update) for f in held.findings)
        return held.model_copy(update={"findings": changed})

    change(folder, edit)


def change_facts(folder: Path, **update: Any) -> None:
    """Edit the facts of a run folder."""
    path = folder / "run.json"
    write_facts(path, read_facts(path).model_copy(update=update))


def _facts(images: int, problems: int, names: Sequence[str], status: str) -> RunFacts:
    return RunFacts(
        status=RunStatus(status),
        name="farm animals",
        run_id="2026-11-22T20-00-00Z",
        started="2026-11-22T20:00:00Z",
        finished="2026-11-22T20:04:05Z",
        fingerprint="ab" * 32,
        shard_size=512,
        device="cpu",
        seed=0,
        precision="float32",
        versions={"torch": "2.10.0", "weasyprint": "70.0"},
        hashes=Hashes(model="cd" * 32, data="ef" * 32, manifest="01" * 32),
        timings={"scores": 75.2, "cmv": 31.0},
        counts=Counts(
            found=images + problems,
            scored=images,
            noted=problems // 3,
            rejected=problems - problems // 3,
            classes=len(names),
        ),
        class_names=tuple(names),
        labels=dict(enumerate(names)),
        foreground_source="mask_file",
        model_name="resnet18",
        settings={"saliency method": "gradcam", "donors per image": 4, "crop": None},
    )


def _write_problems(path: Path, rows: int, names: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sample_id", "path", "label_name", "reason", "detail", "kind"])
        for i in range(rows):
            kind, reason = ("noted", "EXIF_ROTATED") if i % 3 == 2 else ("rejected", "DATA_CORRUPT")
            writer.writerow(
                [f"s{i}", f"a/{i}.png", names[i % len(names)], reason, "The file ends early.", kind]
            )


@dataclass
class _Class:
    """One class in the making."""

    folder: Path
    label: int
    names: Sequence[str]
    verdict: Verdict
    known: bool
    simonyan: bool

    @property
    def name(self) -> str:
        return self.names[self.label]

    @property
    def other(self) -> str:
        return self.names[(self.label + 1) % len(self.names)]

    def finding(self) -> ClassFinding:
        suspect = self.verdict is Verdict.SUSPECT
        kind = Kind.NONE if not suspect else (Kind.OWN_SHORTCUT, Kind.VICTIM)[self.label % 2]
        return record.finding(
            self.name,
            self.verdict,
            label=self.label,
            kind=kind,
            attractor=self.other if kind is Kind.VICTIM else None,
            contrast_class=self.other,
            strength=Strength.STRONG if suspect else Strength.NONE,
            images=40,
            scored=40,
            judged=40,
            precision=0.91,
            recall=0.875,
            f1=None if self.verdict is Verdict.INCONCLUSIVE else 0.89,
            mean_confidence=0.83,
            reasons=self._reasons(),
            advice=self._advice(kind),
            confusions=(Confusion(label_name=self.other, count=1, share=0.025),),
            exhibits=self._exhibits(),
            cues=self._cues() if self.known and suspect else None,
            mean_map=self._mean_map() if suspect else None,
            cmv=self._cmv(),
            **self._measured(),
        )

    def _measured(self) -> dict[str, Any]:
        if not self.known:
            return {}
        random = np.random.default_rng(self.label)
        gap = GAPS[self.verdict] + float(random.uniform(-0.02, 0.02))
        masses = tuple(random.beta(3 if self.verdict is Verdict.SUSPECT else 6, 5, 40).tolist())
        effects: dict[str, Any] = {}
        for effect, (value, half) in EFFECTS.items():
            effects |= spread(effect, value, half)
        for effect in ("background_gap", "margin_gap", "own_margin_gap"):
            effects |= spread(effect, gap, 0.06)
        suspect = self.verdict is Verdict.SUSPECT
        return {
            **effects,
            "p_value": 0.0001 if suspect else 0.4,
            "q_value": 0.0004 if suspect else 0.6,
            "masses": masses,
            "indicators": () if self.verdict is Verdict.INCONCLUSIVE else _indicators(gap),
        }

    def _reasons(self) -> tuple[Reason, ...]:
        if not self.known:
            return (Reason(code=Code.NO_FOREGROUNDS),)
        loss = spread("gap", GAPS[self.verdict], 0.06)
        if self.verdict is Verdict.SUSPECT:
            return (Reason(code=Code.LOSS_EVERYWHERE, values={**loss, "floor": 0.1, "q": 0.0004}),)
        if self.verdict is Verdict.CLEAR:
            return (Reason(code=Code.EFFECT_EXCLUDED, values={**loss, "floor": 0.1}),)
        return (Reason(code=Code.LOSS_MEASURED, values={**loss, "floor": 0.1}),)

    def _advice(self, kind: Kind) -> tuple[Reason, ...]:
        if kind is Kind.VICTIM:
            code, values = Code.LOOK_AT_ATTRACTING_CLASS, {"attracting_class": self.other}
            return (Reason(code=code, values=values),)
        codes = {
            Verdict.SUSPECT: (Code.VARY_TRAINING_BACKGROUNDS, Code.DO_NOT_RELY_ON_ACCURACY),
            Verdict.WATCH: (Code.AUDIT_WITH_MORE_IMAGES,),
            Verdict.INCONCLUSIVE: (Code.ADD_IMAGES_WITH_FOREGROUNDS,),
            Verdict.CLEAR: (),
        }
        return tuple(Reason(code=code) for code in codes[self.verdict])

    def _save(self, path: str, pixels: Any) -> str:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(to_png(pixels))
        return path

    def _exhibits(self) -> tuple[Exhibit, ...]:
        roles = {Verdict.SUSPECT: tuple(Role), Verdict.CLEAR: ()}.get(self.verdict, (Role.WORST,))
        roles = roles if self.known else (Role.TYPICAL, Role.MISTAKEN)
        return tuple(self._exhibit(place, role) for place, role in enumerate(roles))

    def _exhibit(self, place: int, role: Role) -> Exhibit:
        image, saliency, foreground = paint(100 * self.label + place)
        elsewhere, _, _ = paint(7919 + 100 * self.label + place)
        stem = f"exhibits/{self.label:04d}/{role}"
        known = self.known
        laid = overlay(image, saliency, foreground if known else None)
        swapped = np.where(foreground[..., None], image, elsewhere)
        drawn = outline(image, foreground)
        measured = known and self.verdict is Verdict.SUSPECT and role is Role.WORST
        by_parts = signed_overlay(image, np.where(foreground, -0.3, -1.0), foreground)
        swap = Swap(
            donor_class=self.other, prediction_name=self.other, probability=0.04, before=0.97
        )
        return Exhibit(
            label=self.label,
            role=role,
            sample_id=f"{self.label:04d}-{place}",
            label_name=self.name,
            prediction_name=self.other if role is Role.MISTAKEN else self.name,
            confidence=0.97 - 0.1 * place,
            foreground_area=0.17 if known else None,
            foreground_mass=0.31 if known else None,
            mass_lift=0.9 if known else None,
            pictures=ExhibitPictures(
                image=self._save(f"{stem}-image.png", image),
                overlay=self._save(f"{stem}-overlay.png", laid),
                outline=self._save(f"{stem}-outline.png", drawn) if known else None,
                swap=self._save(f"{stem}-swap.png", swapped) if known else None,
                swap_map=self._save(f"{stem}-swap-map.png", by_parts) if measured else None,
            ),
            swap=swap if known else None,
            part_effects=PARTS if measured else None,
        )

    def _mean_map(self) -> MeanMap:
        path = self._save(f"exhibits/{self.label:04d}/mean.png", mean_map([paint(self.label)[1]]))
        return MeanMap(label=self.label, path=path, images=40, rows=tuple(range(40)))

    def _cmv(self) -> tuple[CmvEntry, ...]:
        recipes = ("robust", "simonyan") if self.simonyan else ("robust",)
        return tuple(self._panel(r, o) for r in recipes for o in ("logit", "softmax"))

    def _panel(self, recipe: str, objective: str) -> CmvEntry:
        random = np.random.default_rng(self.label)
        stem = f"cmv/{self.label:04d}.{recipe}-{objective}"
        pixels = np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1), dtype=np.int64))
        robust = recipe == "robust"
        values = {"probability": 0.01}
        return CmvEntry(
            label=self.label,
            label_name=self.name,
            key="k",
            recipe=recipe,
            objective=objective,
            variant=0,
            path=self._save(f"{stem}.png", pixels.astype(np.uint8)),
            strip=self._save(f"{stem}.steps.png", np.full((16, 48, 3), 99, np.uint8)),
            strip_steps=(1, 8, 128),
            score=12.0,
            probability=0.99,
            robust_probability=0.63 if robust else 0.01,
            rank=1,
            rank_jpeg=1,
            rank_shift=1,
            transfer_rank=3,
            transfer_probability=0.2,
            steps=128,
            rival=None,
            failure=None if robust else Reason(code=Code.CMV_NOT_ROBUST, values=values),
        )

    def _cues(self) -> Cues:
        """Two clusters, two donors, and a contrast that speaks one way only."""
        stem = f"cues/{self.label:04d}"
        image, saliency, _ = paint(100 * self.label)
        crops = [
            CueCrop(
                path=self._save(f"{stem}/cue-{i}.png", image[:24, 24 * i : 24 * i + 24]),
                sample_id="a",
                share=0.1,
            )
            for i in range(4)
        ]
        donors = [
            CueDonor(
                path=self._save(f"{stem}/donor-{i}.png", paint(100 * self.label + i)[0]),
                sample_id="b",
                became=rate(5 - i, 7),
            )
            for i in range(2)
        ]
        affected = AffectedClass(label_name=self.other, became=rate(18, 20))
        missing = {"images": 40, "blank_map": 0, "no_evidence": 0, "no_background": 2}
        return Cues(
            label=self.label,
            label_name=self.name,
            key="k",
            contrast_class=self.other,
            images=40,
            contrast_images=38,
            features=Reason(code=Code.FEATURES_LAST_LAYER_INPUT, values={"layer": "fc"}),
            notes=(Reason(code=Code.IMAGES_WITHOUT_WINDOW, values=missing),),
            clusters=tuple(
                CueCluster(seen=rate(seen, 40), contrast=rate(2, 38), crops=tuple(held))
                for seen, held in ((31, crops[:3]), (7, crops[3:]))
            ),
            donors=CueDonors(
                became=rate(40, 120), affected=affected, tried=14, shown=tuple(donors)
            ),
            contrast_maps=ContrastMaps(
                sample_id=f"{self.label:04d}-0",
                image=self._save(f"{stem}/between-image.png", image),
                towards=self._save(f"{stem}/between-towards.png", overlay(image, saliency)),
                away=None,
            ),
        )


def rate(hits: int, trials: int) -> Rate:
    """A rate with an interval of a tenth on either side."""
    value = hits / trials
    return Rate(hits=hits, trials=trials, low=max(value - 0.1, 0.0), high=min(value + 0.1, 1.0))


def _indicators(gap: float) -> tuple[Indicator, ...]:
    def one(name: IndicatorName, value: float, unit: Unit, says: Says) -> Indicator:
        held = Estimate(value=value, low=value - 0.08, high=value + 0.08)
        return Indicator(name=name, says=says, estimate=held, p_value=0.002, unit=unit)

    return (
        one(IndicatorName.BACKGROUND_SWAP, gap, Unit.PROBABILITY, Says.BACKGROUND),
        one(IndicatorName.ATTRACTION, 0.31, Unit.RATE, Says.BACKGROUND),
        one(IndicatorName.SALIENCY, 0.8, Unit.LOG_ODDS, Says.OBJECT),
    )


def _matrix(names: Sequence[str]) -> SwapMatrix:
    """Each class turns some objects of the next one; the pair of the first two never met."""
    shown = range(min(12, len(names)))
    return SwapMatrix(
        classes=tuple(
            MatrixClass(label=i, label_name=names[i], swaps=30, lost=3 * i % 30) for i in shown
        ),
        cells=tuple(
            MatrixCell(
                label=i,
                donor_label=j,
                swaps=8,
                became_donor=(i * 3) % 9 if j == i + 1 else 0,
                lost=1,
            )
            for i in shown
            for j in shown
            if i != j and (i, j) != (1, 0)
        ),
        left_out=max(0, len(names) - 12),
        swaps=200,
        became_donor=40,
        became_donor_shown=33,
    )
