"""The run's checks of itself: what they are, what they found, and what a failed one means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audit.findings import Code, Control, ControlName
from audit.report.formatting import equals_chance, number
from audit.report.i18n import N_, gettext, ngettext
from audit.report.sentences.values import Sentence, Values, count_of, fixed, number_of


@dataclass(frozen=True)
class ControlWords:
    """All that is always said of a control; `means` is what its failure means for the verdicts."""

    name: str
    description: str
    expected: str
    means: str


_WORDS: Mapping[ControlName, ControlWords] = {
    ControlName.NEGATIVE: ControlWords(
        N_("Negative control"),
        N_(
            "The same rule, with other backgrounds of the same class in the place of foreign ones. "
            "Nothing should be flagged."
        ),
        N_("no class flagged"),
        N_(
            "The rule flags classes in which there is nothing to find, so a suspect class of this "
            "run may be a false alarm."
        ),
    ),
    ControlName.POSITIVE: ControlWords(
        N_("Positive control"),
        N_(
            "A tag in the corner, planted in memory on some classes, and a model made to need it. "
            "The gain is what the tag is worth, in units of the class's usual lead."
        ),
        N_("every tagged class found at gain 1"),
        N_(
            "A planted tag was missed, so a shortcut can be missed too: a silent class is not "
            "proven clear."
        ),
    ),
    ControlName.UNTRAINED: ControlWords(
        N_("Untrained network"),
        N_(
            "The same saliency method on the same network with random weights: what the form of "
            "the network alone puts on the object."
        ),
        N_("maps that differ from an untrained network's"),
        N_(
            "The saliency maps of this run show nothing learned: do not read anything into them. "
            "The verdicts rest on the swaps, not on the maps."
        ),
    ),
}


def control_words(control: Control) -> ControlWords:
    """Say all that is always said of a control."""
    words = _WORDS[control.name]
    return ControlWords(
        gettext(words.name),
        gettext(words.description),
        gettext(words.expected),
        gettext(words.means),
    )


def _classes_flagged(values: Values) -> str:
    return ngettext(
        "%(flagged)s of %(num)s class flagged",
        "%(flagged)s of %(num)s classes flagged",
        count_of(values, "of"),
        flagged=count_of(values, "flagged"),
    )


def _gains(values: Values) -> list[tuple[float, int, int]]:
    """Gain, tags found, tags tried, in ascending order of gain; of gains that were tried."""
    count = sum(key.startswith("gain_") for key in values)
    return [
        (
            number_of(values, f"gain_{i}") or 0.0,
            count_of(values, f"found_{i}"),
            count_of(values, f"tested_{i}"),
        )
        for i in range(1, count + 1)
        if count_of(values, f"tested_{i}")
    ]


def _tags_found(values: Values) -> str:
    lines = [
        ngettext(
            "%(found)s of %(num)s planted tag of gain %(gain)s found",
            "%(found)s of %(num)s planted tags of gain %(gain)s found",
            tested,
            found=found,
            gain=f"{gain:g}" if gain == int(gain) else number(gain, 2),
        )
        for gain, found, tested in _gains(values)
    ]
    small = sum(count_of(values, key) for key in values if key.startswith("small_"))
    if small:
        lines.append(
            ngettext(
                "%(num)s tag was worth too little to be found and is not counted",
                "%(num)s tags were worth too little to be found and are not counted",
                small,
            )
        )
    return "; ".join(lines) or gettext("not measured")


def _untrained_compared(values: Values) -> str:
    return ngettext(
        "mass lift %(lift)s against %(untrained)s untrained (%(num)s image, %(p)s)",
        "mass lift %(lift)s against %(untrained)s untrained (%(num)s images, %(p)s)",
        count_of(values, "images"),
        lift=number(number_of(values, "lift")),
        untrained=number(number_of(values, "untrained_lift")),
        p=equals_chance("p", number_of(values, "p")),
    )


FOUND: Mapping[Code, Sentence] = {
    Code.NOT_MEASURED: fixed(N_("not measured")),
    Code.CLASSES_FLAGGED: _classes_flagged,
    Code.TAGS_FOUND: _tags_found,
    Code.UNTRAINED_COMPARED: _untrained_compared,
}


def plain_outcome(control: Control) -> str:
    """Say in words for everybody what a control found; numbers stand among the controls."""
    values = control.found.values
    if control.found.code is Code.CLASSES_FLAGGED:
        flagged = count_of(values, "flagged")
        if not flagged:
            return gettext("Where there was nothing to find, no class was flagged.")
        return ngettext(
            "Where there was nothing to find, %(num)s class was flagged.",
            "Where there was nothing to find, %(num)s classes were flagged.",
            flagged,
        )
    if control.found.code is Code.TAGS_FOUND and _gains(values):
        _, found, tested = _strongest(values)
        return ngettext(
            "Of %(num)s tag planted to be found, %(found)s was found.",
            "Of %(num)s tags planted to be found, %(found)s were found.",
            tested,
            found=found,
        )
    if control.found.code is Code.UNTRAINED_COMPARED:
        if control.passed:
            return gettext("The saliency maps differ from those of an untrained network.")
        return gettext("The saliency maps do not differ from those of an untrained network.")
    return ""


def _strongest(values: Values) -> tuple[float, int, int]:
    """The tags that should all be found: those of gain 1, or of the largest gain below."""
    gains = _gains(values)
    return max([gain for gain in gains if gain[0] <= 1.0] or gains)
