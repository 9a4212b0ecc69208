"""All prose of the report: a code and its values become a sentence, in the language of the page."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Code, Control, PartEffects, Reason
from audit.report.i18n import ENGLISH, gettext, spoken
from audit.report.sentences.advice import ADVICE
from audit.report.sentences.controls import FOUND, control_words
from audit.report.sentences.evidence import parts_line
from audit.report.sentences.history import HISTORY
from audit.report.sentences.masks import MASKS
from audit.report.sentences.notes import CMV, CUES, LIMITS
from audit.report.sentences.reasons import REASONS
from audit.report.sentences.values import Sentence

SENTENCES: Mapping[Code, Sentence] = {
    **REASONS,
    **ADVICE,
    **FOUND,
    **LIMITS,
    **MASKS,
    **CUES,
    **CMV,
    **HISTORY,
}
"""By code; a test holds it complete."""


def say(reason: Reason) -> str:
    """Say a reason in the language of the page; a code that has no sentence is named."""
    sentence = SENTENCES.get(reason.code)
    if sentence is None:
        return gettext("This version has no words for the reason “%(code)s”.", code=reason.code)
    return sentence(reason.values)


def english(reason: Reason) -> str:
    """Say a reason in English, whatever is spoken: for tables and for metadata of pictures.

    Examples
    --------
    >>> english(Reason(code=Code.CMV_NOT_FIRST, values={"rank": 3}))
    'Failed: among the classes that the model sees in it, this one is number 3.'
    """
    with spoken(ENGLISH):
        return say(reason)


def english_parts(effects: PartEffects) -> str:
    """Say in English what the parts of an image do for its class."""
    with spoken(ENGLISH):
        return parts_line(effects)


def failed(control: Control) -> str:
    """Say in English that a run did not pass one of its checks of itself, and what that means."""
    with spoken(ENGLISH):
        words = control_words(control)
        return f"{words.name} failed: {say(control.found)}. {words.means}"
