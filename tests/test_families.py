"""Every method on every family, and the page that lists them."""

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
QUICK = {
    "smoothgrad": {"samples": 2},
    "integrated_gradients": {"steps": 2},
    "occlusion": {"window": 0.5, "stride": 0.5},
    "rise": {"samples": 4, "cells": 2},
}
OF_SOME = ("guided_backprop", "gradient_rollout")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_served_by_every_method_as_the_page_says(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("cams", "contributions", "gradients", "guided"):
        # Batches are tested elsewhere; here they would be filled up with copies.
        monkeypatch.setattr(f"audit.saliency.{module}.MICROBATCH", 1)
    network, side = built(family)
    engine = Engine(AuditedModel(network, None, Geometry(side)))
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    taken = {}
    for name, method in METHODS.items():
        chosen = choose_method(method, name, QUICK.get(name, {}), model=engine, image=images[:1])
        taken[name] = chosen
        maps = explain(engine, images, torch.tensor([1]), method=chosen.method, seeds=[0]).maps
        assert bool(maps.isfinite().all()), name
        assert "gradient" not in chosen.name or float(maps.sum()) > 0, name
    assert [
        name for name, chosen in taken.items() if chosen.name != name and name not in OF_SOME
    ] == []
    layer = taken["gradcam"].layer
    assert layer is not None
    served = ["yes" if taken[name].name == name else taken[name].name for name in OF_SOME]
    row = [family, f"`{layer.name}`", layer.grid.size, *served]
    assert f"| {' | '.join(row)} |" in PAGE, f"| {' | '.join(row)} |"


def test_the_page_lists_no_family_that_is_not_tested() -> None:
    listed = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| t")]
    assert listed == list(FAMILIES)
