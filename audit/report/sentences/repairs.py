"""What a repair brought, in sentences: page one says the first of them."""

from __future__ import annotations

from audit.findings import ChangedPicture, Repair, RepairedClass, RepairOutcome, Verdict
from audit.report.formatting import share
from audit.report.i18n import gettext, ngettext, whole

_NAMED = 5
"""Classes that a sentence names before it only counts them."""


def repair_outcome(repair: Repair) -> list[str]:
    """Say what was tried and what it brought, the most important first."""
    if repair.outcome is RepairOutcome.NOTHING_GAINED:
        return [
            gettext(
                "Repair: nothing gained. Of %(tried)s other last layers none was better on other "
                "backgrounds without losing more than %(loss)s of the photographs as they are. "
                "What this network has learned does not tell the object from its background well "
                "enough; it has to be trained again, on other photographs.",
                tried=repair.refit.tried,
                loss=share(repair.refit.max_loss),
            )
        ]
    lines = [_verdicts(repair), _accuracy(repair)]
    if repair.worse:
        lines.append(_worse(repair.worse))
    else:
        lines.append(gettext("No class got clearly worse."))
    if repair.refit.other_classes:
        lines.append(_others(repair.refit.other_classes))
    return lines


def repair_headline(repair: Repair) -> str:
    """Say it in one sentence, for page one."""
    return repair_outcome(repair)[0]


def _verdicts(repair: Repair) -> str:
    before = len(repair.with_verdicts(Verdict.SUSPECT, after=False))
    after = len(repair.with_verdicts(Verdict.SUSPECT, after=True))
    if not before and not after:
        return gettext(
            "Repair: on %(images)s images that had no part in it no class is suspect, with the old "
            "last layer or with another.",
            images=whole(repair.images.proof),
        )
    return gettext(
        "Repair: with another last layer %(after)s instead of %(before)s on %(images)s images "
        "that had no part in it.",
        before=before,
        after=ngettext("%(num)s class is suspect", "%(num)s classes are suspect", after)
        if after
        else gettext("no class is suspect"),
        images=whole(repair.images.proof),
    )


def _accuracy(repair: Repair) -> str:
    before, after = repair.before, repair.after
    assert before is not None
    assert after is not None
    return gettext(
        "On backgrounds of other classes %(swapped_after)s of the objects are answered rightly "
        "instead of %(swapped_before)s, of the worst class %(worst_after)s instead of "
        "%(worst_before)s; of the photographs as they are %(clean_after)s instead of "
        "%(clean_before)s.",
        swapped_before=share(before.swapped),
        swapped_after=share(after.swapped),
        worst_before=share(before.worst),
        worst_after=share(after.worst),
        clean_before=share(before.clean),
        clean_after=share(after.clean),
    )


def _worse(classes: tuple[RepairedClass, ...]) -> str:
    names = [worse.label_name for worse in classes[:_NAMED]]
    return ngettext(
        "%(num)s class got worse (newly suspect, or five points fewer right answers): %(names)s.",
        "%(num)s classes got worse (newly suspect, or five points fewer right answers): %(names)s.",
        len(classes),
        names=", ".join([*names, "…"] if len(classes) > _NAMED else names),
    )


def _others(count: int) -> str:
    return ngettext(
        "The model has %(num)s class without an image here. Its weights are as they were; whether "
        "objects of it are now taken for an audited class was not measured.",
        "The model has %(num)s classes without an image here. Their weights are as they were; "
        "whether objects of theirs are now taken for an audited class was not measured.",
        count,
    )


def repair_method(repair: Repair) -> str:
    """Say how the layer was refitted and chosen."""
    return gettext(
        "The last linear layer (%(layer)s) was refitted on %(pictures)s pictures: photographs of "
        "%(images)s images, and their objects on backgrounds of other classes and of their own. Of "
        "%(tried)s ways, each tried on images and backgrounds that its layer had not met, those "
        "count that do best on the worst class and that lose, beyond chance, at most %(loss)s of "
        "right answers on own backgrounds; of these the one was taken whose answers depend least "
        "on the background. The numbers here are from %(proof)s further images: no image, no copy "
        "of one and no background had a part in both.",
        layer=repair.refit.layer,
        pictures=whole(repair.refit.refit_pictures),
        images=whole(repair.images.refit + repair.images.selection),
        tried=repair.refit.tried,
        loss=share(repair.refit.max_loss),
        proof=whole(repair.images.proof),
    )


def changed_alt(change: ChangedPicture) -> str:
    """Say what is seen in the picture of a swap that is answered otherwise."""
    return gettext(
        "An object of %(object)s on a background of %(donor)s",
        object=change.label_name,
        donor=change.donor_class,
    )
