"""What changed since the run before, what was decided, and why a gate was not passed."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import (
    Change,
    ClassChange,
    Code,
    Comparability,
    Comparison,
    Decision,
    Reason,
    ReviewedClass,
    Standing,
)
from audit.report.formatting import points, with_interval
from audit.report.i18n import N_, gettext, ngettext, whole
from audit.report.moments import day
from audit.report.sentences.names import key_word
from audit.report.sentences.values import Sentence, Values, count_of, fixed, name_of
from audit.report.untrusted import clean_text

_CHANGES: Mapping[Change, str] = {
    Change.NEW: N_("new"),
    Change.WORSENED: N_("worsened"),
    Change.UNSURE: N_("unsure"),
    Change.NOT_MEASURED: N_("not measured"),
    Change.FIRST_SEEN: N_("first seen"),
    Change.IMPROVED: N_("improved"),
    Change.FIXED: N_("fixed"),
    Change.UNCHANGED: N_("unchanged"),
}
_COMPARABLE: Mapping[Comparability, str] = {
    Comparability.PAIRED: N_(
        "The two runs are paired: measured alike, on common images; backgrounds of both cancel out."
    ),
    Comparability.UNPAIRED: N_(
        "The two runs are not paired: measured alike, but on other images or with other "
        "backgrounds, so small changes cannot be seen."
    ),
    Comparability.NOT_COMPARABLE: N_(
        "The two runs cannot be compared: they did not measure the same thing."
    ),
}
_DECISIONS: Mapping[Decision, str] = {
    Decision.ACCEPT: N_("accepted"),
    Decision.DISPUTE: N_("disputed"),
    Decision.WAIVE: N_("waived"),
}
_STANDINGS: Mapping[Standing, str] = {
    Standing.PAST_ITS_DATE: N_("lapsed: its date is past"),
    Standing.ANOTHER_MODEL: N_("lapsed: it was made for another model"),
    Standing.GOT_WORSE: N_("lapsed: the class has got worse since"),
}


def change_word(change: Change) -> str:
    """The word of a change."""
    return gettext(_CHANGES[change])


def changes_line(comparison: Comparison) -> str:
    """Say in one line how many classes changed in which way since the run before."""
    if comparison.comparability is Comparability.NOT_COMPARABLE:
        return gettext(_COMPARABLE[comparison.comparability])
    accepted = comparison.earlier_is_accepted
    if comparison.is_unchanged and accepted:
        return gettext("Nothing has changed since the accepted run.")
    if comparison.is_unchanged:
        return gettext("Nothing has changed since the run before.")
    counts = [
        f"{whole(len(changed))} {change_word(change)}"
        for change in Change
        if (changed := comparison.with_change(change))
    ]
    if accepted:
        return gettext("Since the accepted run: %(counts)s.", counts=", ".join(counts))
    return gettext("Since the run before: %(counts)s.", counts=", ".join(counts))


def comparability_line(comparison: Comparison) -> str:
    """Say whether the runs are paired, and what differs between them."""
    parts = [gettext(_COMPARABLE[comparison.comparability])]
    parts += [HISTORY[reason.code](reason.values) for reason in comparison.reasons]
    if comparison.images_changed:
        parts.append(gettext("The images differ."))
    return " ".join(parts)


def change_line(change: ClassChange) -> str:
    """Say how far a class's gap moved, and whether that could have been seen."""
    moved = gettext("its gap moved by %(moved)s", moved=with_interval(change.difference))
    if change.change is not Change.UNSURE or change.detectable is None:
        return moved
    return gettext(
        "%(moved)s; a change of less than %(points)s points could not have been seen",
        moved=moved,
        points=points(change.detectable),
    )


def review_line(reviewed: ReviewedClass) -> str:
    """Say who decided what, why and until when, and whether it still holds."""
    review = reviewed.review
    text = gettext(
        "%(decision)s by %(who)s on %(day)s: “%(why)s”",
        decision=gettext(_DECISIONS[review.decision]),
        who=clean_text(review.by, 80),
        day=day(review.made),
        why=clean_text(review.reason, 300),
    )
    if review.until is not None:
        text = gettext("%(said)s, until %(day)s", said=text, day=day(review.until.isoformat()))
    if reviewed.standing is Standing.IN_FORCE:
        return text
    return f"{text} ({gettext(_STANDINGS[reviewed.standing])})"


def waiting_line() -> str:
    """Say of a suspect class why nobody is called for it yet."""
    return gettext(
        "Not confirmed yet: not all of its images are those of the run before, so this may be "
        "chance; gate and messages wait for the next audit."
    )


def gate_line(failures: tuple[Reason, ...]) -> str:
    """Say why a gate was not passed; empty where it was."""
    parts = [HISTORY[reason.code](reason.values) for reason in failures[:3]]
    if len(failures) > 3:
        more = len(failures) - 3
        parts.append(ngettext("And %(num)s more reason.", "And %(num)s more reasons.", more))
    return " ".join(parts)


def _setting_differs(values: Values) -> str:
    return gettext(
        "%(setting)s: %(earlier)s before, %(later)s now.",
        setting=key_word(name_of(values, "setting")),
        earlier=key_word(name_of(values, "earlier")),
        later=key_word(name_of(values, "later")),
    )


def _of_class(message: str) -> Sentence:
    return lambda values: gettext(message, name=name_of(values, "label_name"))


HISTORY: Mapping[Code, Sentence] = {
    Code.MODEL_DIFFERS: fixed(N_("The model is another.")),
    Code.SETTING_DIFFERS: _setting_differs,
    Code.MASKS_DIFFER: lambda values: ngettext(
        "The foreground of %(num)s common image is another.",
        "The foregrounds of %(num)s common images are others.",
        count_of(values, "images"),
    ),
    Code.NO_COMMON_IMAGE: fixed(N_("They have no image in common.")),
    Code.NO_COMMON_CLASS: fixed(N_("They have no class in common.")),
    Code.RUNS_WITHOUT_FOREGROUNDS: fixed(
        N_("Without foregrounds no background could be exchanged.")
    ),
    Code.GATE_SUSPECT: _of_class(N_("%(name)s is suspect.")),
    Code.GATE_NEW: _of_class(N_("%(name)s is suspect and was not before.")),
    Code.GATE_WORSENED: _of_class(N_("%(name)s got worse, or may have.")),
    Code.GATE_NOT_MEASURED: _of_class(N_("%(name)s could be judged before and can no longer be.")),
    Code.GATE_INCOMPLETE: fixed(N_("Too few images could be measured.")),
    Code.GATE_NOTHING_JUDGED: fixed(N_("No class could be judged.")),
}
