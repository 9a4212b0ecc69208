"""What stands beside the pictures of a class, and the pictures in words for who cannot see them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from audit.findings import ClassFinding, CmvEntry, Exhibit, PartEffects, Side, Swap
from audit.report.formatting import listing, number_with_interval, share
from audit.report.i18n import gettext, ngettext
from audit.report.sentences.names import objective_word
from audit.report.untrusted import shorten


def exhibit_line(exhibit: Exhibit) -> str:
    """Say what the model answered to an exhibit."""
    answer = shorten(exhibit.prediction_name)
    right = exhibit.prediction_name == exhibit.label_name
    if exhibit.confidence is None:
        if right:
            return gettext("Right: %(answer)s.", answer=answer)
        return gettext("Wrong: %(answer)s.", answer=answer)
    sure = share(exhibit.confidence)
    if right:
        return gettext("Right: %(answer)s with confidence %(sure)s.", answer=answer, sure=sure)
    return gettext("Wrong: %(answer)s with confidence %(sure)s.", answer=answer, sure=sure)


def swap_line(swap: Swap, name: str) -> str:
    """Say what the experiment did to an exhibit."""
    new = shorten(swap.prediction_name)
    if swap.prediction_name == name:
        text = gettext("Still %(answer)s.", answer=new)
    else:
        text = gettext("Now %(answer)s.", answer=new)
    if swap.before is None or swap.probability is None:
        return text
    change = gettext(
        "Probability of %(name)s: %(before)s → %(after)s.",
        name=shorten(name),
        before=share(swap.before),
        after=share(swap.probability),
    )
    return f"{text} {change}"


def parts_line(effects: PartEffects) -> str:
    """Say what the parts of an exhibit do for its class."""
    text = gettext(
        "Change of its lead over %(rival)s where all parts make room for backgrounds of %(donor)s: "
        "surroundings %(other)s; object %(body)s.",
        rival=shorten(effects.rival_class or "") or gettext("the best other class"),
        donor=shorten(effects.donor_class),
        other=number_with_interval(effects.surroundings),
        body=number_with_interval(effects.body),
    )
    said = [text]
    if effects.control.value is not None:
        said.append(
            gettext(
                "Surroundings for those of its own class: %(own)s.",
                own=number_with_interval(effects.control),
            )
        )
    said += [line for line in (side_line(effects), _pointed_line(effects)) if line]
    return " ".join(said)


def side_line(effects: PartEffects) -> str | None:
    """Say whether surroundings or object cost the class more; None: it was never written down."""
    difference = effects.difference
    if difference is None or difference.low is None or difference.high is None:
        return None
    if difference.high < 0:
        return gettext(
            "In this image the surroundings together cost the class more than the object."
        )
    if difference.low > 0:
        return gettext("In this image the object costs the class more than all surroundings.")
    return gettext("Whether surroundings or object cost it more is not certain.")


def _pointed_line(effects: PartEffects) -> str | None:
    """Say whether one part is what counts, or many."""
    one, total = effects.pointed, effects.surroundings.value
    if one is None or one.value is None or one.value >= 0 or total is None:
        return None
    if effects.pointed_at is Side.OBJECT:
        return gettext(
            "The part that costs most lies on the object: %(one)s.", one=number_with_interval(one)
        )
    if one.value > total / 2:
        return gettext(
            "The loss is spread over the surroundings: no part has half of it, the costliest "
            "%(one)s.",
            one=number_with_interval(one),
        )
    return gettext(
        "One part of the surroundings has most of it: %(one)s.", one=number_with_interval(one)
    )


def disagreement(exhibit: Exhibit) -> str | None:
    """Say which to believe where the map lies on the object and the experiment on what is round it.

    The surroundings count where the whole interval of their effect is a loss, by itself and beyond
    the control. Where the object certainly costs more, map and experiment say the same.
    """
    effects, lift = exhibit.part_effects, exhibit.mass_lift
    if effects is None or lift is None or lift <= 0:
        return None
    highs = (effects.surroundings.high, effects.beyond_control.high)
    if any(high is None or high >= 0 for high in highs):
        return None
    difference = effects.difference
    if difference is not None and difference.low is not None and difference.low > 0:
        return None
    return gettext(
        "The two pictures differ: saliency lies on the object, and yet the class loses when only "
        "its surroundings are replaced. The replacement is the experiment; it decides."
    )


def parts_alt(name: str) -> str:
    """A map of part effects in words."""
    return gettext("Parts that the class %(name)s loses or gains without", name=shorten(name))


def panel_line(panel: CmvEntry) -> str:
    """Say what a class model visualization is and how far it carries."""
    text = gettext(
        "%(objective)s. The model gives this picture %(share)s for the class.",
        objective=objective_word(panel),
        share=share(panel.probability),
    )
    if panel.robust_probability is not None:
        text += " " + gettext(
            "After small shifts and zooms it gives %(share)s.",
            share=share(panel.robust_probability),
        )
    if panel.transfer_rank is not None:
        text += " " + gettext(
            "For a second model the class is number %(rank)s in it.", rank=panel.transfer_rank
        )
    return text


def confusion_line(finding: ClassFinding) -> str:
    """Say what a class is taken for."""
    if finding.recall is None:
        return gettext("What its images are taken for was not measured.")
    if not finding.confusions:
        return gettext("None of its images was taken for another class.")
    named = [
        f"{shorten(c.label_name, 40)} "
        f"({ngettext('%(num)s image', '%(num)s images', c.count)}, {share(c.share)})"
        for c in finding.confusions
    ]
    return gettext("Its images are taken for %(names)s.", names=listing(named))


def median_line(masses: Sequence[float], others: Sequence[float]) -> str:
    """Compare the masses of a class with those of all others."""
    if not masses:
        return gettext("The saliency of this class was not measured against foregrounds.")
    mine = share(median(masses))
    if not others:
        return gettext(
            "In the middle image %(mine)s of the saliency lies on the object.", mine=mine
        )
    return gettext(
        "In the middle image of this class %(mine)s of the saliency lies on the object; in that "
        "of all other classes %(theirs)s. This alone decides nothing.",
        mine=mine,
        theirs=share(median(others)),
    )


def image_alt(exhibit: Exhibit) -> str:
    """An exhibit's image in words."""
    return gettext(
        "Image of %(name)s, answered %(answer)s",
        name=shorten(exhibit.label_name),
        answer=shorten(exhibit.prediction_name),
    )


def overlay_alt(name: str) -> str:
    """A saliency map over its image in words."""
    return gettext("Where the score of %(name)s is sensitive in this image", name=shorten(name))


def outline_alt(name: str) -> str:
    """An outlined object in words."""
    return gettext("The object %(name)s outlined in this image", name=shorten(name))


def swap_alt(swap: Swap) -> str:
    """A swap in words."""
    return gettext("The same object on a background of %(name)s", name=shorten(swap.donor_class))


def mean_map_alt(name: str) -> str:
    """A mean map in words."""
    return gettext("Mean saliency map of %(name)s", name=shorten(name))


def panel_alt(panel: CmvEntry) -> str:
    """A class model visualization in words."""
    return gettext(
        "Class model visualization of %(name)s: %(objective)s",
        name=shorten(panel.label_name),
        objective=objective_word(panel),
    )


def strip_alt(panel: CmvEntry) -> str:
    """The steps of a class model visualization in words."""
    return gettext("How it came about: %(picture)s", picture=panel_alt(panel))


def crop_alt(name: str) -> str:
    """A cue's window in words."""
    return gettext(
        "A background window in which the score of %(name)s has most evidence", name=shorten(name)
    )


def donor_alt(name: str) -> str:
    """A donor's background in words."""
    return gettext("A background of %(name)s without its object", name=shorten(name))


def contrast_image_alt(name: str) -> str:
    """The image of the contrast maps in words."""
    return gettext("The image of %(name)s with the lowest margin", name=shorten(name))


def contrast_alt(one: str, other: str) -> str:
    """A contrast map in words."""
    return gettext(
        "What in this image speaks for %(one)s rather than %(other)s",
        one=shorten(one),
        other=shorten(other),
    )


def legend_alt() -> str:
    """The colour scale in words."""
    return gettext("Colour scale of the saliency maps: dark is little, pale yellow is most")
