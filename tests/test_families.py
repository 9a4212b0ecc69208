"""Gradients, class activation maps and occlusion on every family, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import FAMILIES, built

from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import METHODS, explain
from audit.saliency.choosing import choose_method

PAGE = (Path(__file__).parent.parent / "docs" / "models" / "families.md").read_text()
COARSE = {"window": 0.5, "stride": 0.5}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_served_by_every_kind_of_method_as_the_page_says(family: str) -> None:
    network, side = built(family)
    engine = Engine(AuditedModel(network, None, Geometry(side)))
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    row = [family]
    for name, options in (("gradient", {}), ("gradcam", {}), ("occlusion", COARSE)):
        chosen = choose_method(METHODS[name], name, options, model=engine, image=images[:1])
        assert chosen.name == name
        maps = explain(
            engine, images, torch.tensor([0, 1]), method=chosen.method, seeds=[0, 0]
        ).maps
        assert bool(maps.isfinite().all())
        assert name != "gradient" or float(maps.sum()) > 0
        if chosen.layer is not None:
            row += [f"`{chosen.layer.name}`", f"{chosen.layer.grid.size}"]
    assert f"| {' | '.join(row)} |" in PAGE, f"| {' | '.join(row)} |"


def test_the_page_lists_no_family_that_is_not_tested() -> None:
    listed = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| t")]
    assert listed == list(FAMILIES)
