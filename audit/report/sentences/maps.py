"""Can these maps be believed: what was tried on a few of them, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit.findings import Estimate, Findings, MapTrust
from audit.report.formatting import number, number_with_interval, share
from audit.report.i18n import gettext, ngettext


@dataclass(frozen=True)
class MapTrial:
    """One thing that was tried, in the words of a row; `passed` is None where nothing can fail."""

    name: str
    description: str
    expected: str
    found: str
    passed: bool | None
    means: str = ""


def map_trials(report: Findings) -> list[MapTrial]:
    """All that was tried of the maps; empty where nothing was."""
    trust = report.map_trust
    if trust is None:
        return []
    made = [_forgotten(trust), *_removed(trust), _other_methods(trust), _experiment(report)]
    return [trial for trial in made if trial is not None]


def map_verdict(report: Findings) -> str:
    """Say plainly whether the maps can be believed."""
    trials = map_trials(report)
    failed = sum(trial.passed is False for trial in trials)
    made = sum(trial.passed is not None for trial in trials)
    if failed:
        return ngettext(
            "Not without reserve: the maps failed %(num)s trial of %(made)s. The verdicts rest on "
            "the swaps, not on the maps.",
            "Not without reserve: the maps failed %(num)s trials of %(made)s. The verdicts rest on "
            "the swaps, not on the maps.",
            failed,
            made=made,
        )
    return gettext(
        "As illustrations: the maps passed all trials. Passing shows that they depend on what was "
        "learned and mark what matters to the class, not that they show everything that does."
    )


def _forgotten(trust: MapTrust) -> MapTrial | None:
    if not trust.cascade:
        return None
    steps = "; ".join(
        gettext(
            "%(similarity)s where %(share)s of the layers forgot",
            similarity=number(step.similarity),
            share=share(step.share),
        )
        for step in trust.cascade
    )
    return MapTrial(
        gettext("A network that forgets"),
        gettext(
            "The weights are drawn anew, from the last layer on, and the maps compared with those "
            "of the trained network: rank correlation, 1 is the same map, 0 another one (Adebayo "
            "et al. 2018)."
        ),
        gettext("another map where nothing is left of what was learned"),
        _of_images(steps, trust.images),
        trust.sensitive,
        gettext(
            "The maps are much the same without anything learned: they show the image and the form "
            "of the network, not what the class is recognised by."
        ),
    )


def _removed(trust: MapTrust) -> list[MapTrial]:
    described = (
        (
            gettext("Deletion"),
            gettext(
                "Parts of the image are removed, those that the map marks first: how much "
                "probability the class loses by it beyond parts in an order by chance (Petsiuk et "
                "al. 2018)."
            ),
            trust.deletion,
        ),
        (
            gettext("Insertion"),
            gettext(
                "Parts of the image are shown in a blur, those that the map marks first: how much "
                "probability the class gains by it beyond parts in an order by chance."
            ),
            trust.insertion,
        ),
    )
    return [
        MapTrial(
            name,
            description,
            gettext("more than by chance"),
            _of_images(number_with_interval(effect, 2), trust.images),
            _is_above(effect),
            gettext("What the maps mark moves the class no more than parts by chance do."),
        )
        for name, description, effect in described
        if effect.value is not None
    ]


def _is_above(effect: Estimate) -> bool:
    return effect.low is not None and effect.low > 0


def _other_methods(trust: MapTrust) -> MapTrial | None:
    if not trust.agreements:
        return None
    named = "; ".join(f"{one.method} {number(one.similarity)}" for one in trust.agreements)
    return MapTrial(
        gettext("Other methods"),
        gettext("Rank correlation with the maps of other methods on the same images."),
        gettext("nothing: methods ask different questions"),
        _of_images(named, trust.images),
        None,
    )


def _experiment(report: Findings) -> MapTrial | None:
    effects = (show.part_effects for one in report.findings for show in one.exhibits)
    agreements = [one.agreement for one in effects if one is not None and one.agreement is not None]
    if not agreements:
        return None
    return MapTrial(
        gettext("The experiment by parts"),
        gettext(
            "Rank correlation of the saliency in each part of an exhibit with what its suspect "
            "class loses when the part makes room for another background."
        ),
        gettext("agreement; where the two disagree the experiment decides"),
        ngettext(
            "%(value)s on average (%(num)s exhibit)",
            "%(value)s on average (%(num)s exhibits)",
            len(agreements),
            value=number(float(np.mean(agreements))),
        ),
        None,
    )


def _of_images(text: str, images: int) -> str:
    return ngettext("%(said)s (%(num)s image)", "%(said)s (%(num)s images)", images, said=text)
