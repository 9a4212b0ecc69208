"""What a report says of cues, frozen: names are clean, paths are gone, ``None`` is "unknown"."""

from __future__ import annotations

from dataclasses import dataclass

from audit.report.pictures import Picture


@dataclass(frozen=True)
class Rate:
    """So many of so many, with the 95 % interval of the rate."""

    hits: int
    trials: int
    low: float | None = None
    high: float | None = None

    @property
    def value(self) -> float | None:
        """The rate, in 0..1."""
        return self.hits / self.trials if self.trials else None


@dataclass(frozen=True)
class CueCluster:
    """Background windows that the model sees alike."""

    crops: tuple[Picture, ...]
    seen: Rate
    elsewhere: Rate


@dataclass(frozen=True)
class CueDonor:
    """One background, and what it did to objects of other classes."""

    picture: Picture | None
    sample_id: str
    became: Rate


@dataclass(frozen=True)
class Between:
    """One image, and what in it speaks for which of two classes; None: nothing does."""

    sample_id: str
    image: Picture | None
    towards: Picture | None
    away: Picture | None


@dataclass(frozen=True)
class Cues:
    """What in the background a suspect class may lean on."""

    contrast: str
    features: str
    note: str
    clusters: tuple[CueCluster, ...]
    donors: tuple[CueDonor, ...]
    donors_tried: int
    all_donors: Rate
    victim: str
    of_victim: Rate
    between: Between | None


@dataclass(frozen=True)
class MatrixCell:
    """What one class's backgrounds did to another's objects; no swaps: the pair never met."""

    became: Rate
    lost: int
    shade: int


@dataclass(frozen=True)
class MatrixRow:
    """The objects of one class; None stands where object and background are of one class."""

    name: str
    cells: tuple[MatrixCell | None, ...]
    lost: Rate


@dataclass(frozen=True)
class BackgroundMatrix:
    """Whose background makes it whom, for the classes where most happens."""

    names: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    left_out: int
    became: Rate
    became_shown: int
