"""A first guess at where masks lie and how they are named."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from audit.dataset.image_folder import IMAGE_SUFFIXES
from audit.dataset.mask_names import mask_paths
from audit.dataset.samples import Sample

_MASK_FOLDERS = ("masks", "mask", "segmentations", "segmentation", "trimaps", "foregrounds")


def mask_folders(root: Path) -> Iterator[Path | None]:
    """Folders in which masks may lie, the likeliest first; None: beside the images."""
    yield None
    start = root if root.is_dir() else root.parent
    for above in (start, start.parent, start.parent.parent):
        for name in _MASK_FOLDERS:
            apart = above / name
            if apart.is_dir() and apart != start:
                # masks/test for images/test.
                if (apart / start.name).is_dir():
                    yield apart / start.name
                yield apart


def mask_pattern(few: Sequence[Sample], root: Path | None) -> tuple[str | None, float]:
    """How masks are named, and for which share of some images there is one."""
    usual = sum(bool(mask_paths(sample, root, None)) for sample in few) / len(few)
    if usual >= 0.5 or root is None:
        return None, usual
    places: dict[str, list[Path]] = {}
    for path in itertools.islice(root.rglob("*"), 200_000):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            places.setdefault(path.parent.name, []).append(path)
    everywhere = [path for paths in places.values() for path in paths]
    counts: Counter[str] = Counter()
    for sample in few[:10]:
        stem = Path(sample.sample_id).stem
        for path in places.get(sample.label_name, everywhere):
            if stem in path.name:
                counts[_as_pattern(path.relative_to(root), stem, sample.label_name)] += 1
    for pattern, _ in counts.most_common(3):
        share = sum(bool(mask_paths(sample, root, pattern)) for sample in few) / len(few)
        if share > usual:
            return pattern, share
    return None, usual


def _as_pattern(path: Path, stem: str, label: str) -> str:
    folders = ["{class}" if part == label else part for part in path.parts[:-1]]
    # With a step in it a pattern begins at the root.
    return "/".join([*(folders or ["."]), path.name.replace(stem, "{stem}", 1)])
