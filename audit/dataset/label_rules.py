"""From the objects in a picture to the one label that a classifier is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from audit.errors import ManifestError, SampleError

LABEL_RULES = ("largest", "only", "listed")
"""The class of the largest object; the class where there is one only; the first of `classes`."""


def check_rule(rule: str, classes: Sequence[str] | None) -> None:
    """Refuse a rule that cannot be followed.

    Raises
    ------
    ManifestError
        An unknown rule, or ``listed`` without a list.
    """
    if rule not in LABEL_RULES:
        raise ManifestError(f"dataset.label: expected {' | '.join(LABEL_RULES)}, found {rule!r}")
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes or ()):
        raise ManifestError(f"dataset.classes: expected a list of names, found {classes!r}")
    if rule == "listed" and not classes:
        raise ManifestError(
            "dataset.label: listed needs dataset.classes. Write the names, first the one that wins."
        )


def choose_label(
    objects: Sequence[tuple[str, float]], rule: str, classes: Sequence[str] | None
) -> str:
    """Choose the label of one picture.

    Parameters
    ----------
    objects : sequence of (class name, area)
        In the order of the annotation.
    rule : str
        One of :data:`LABEL_RULES`.
    classes : sequence of str or None
        The classes that count; None: all.

    Raises
    ------
    SampleError
        No object counts, or there are several classes where one only is asked for.

    Examples
    --------
    >>> choose_label([("cat", 10), ("dog", 30), ("cat", 25)], "largest", None)
    'dog'
    >>> choose_label([("cat", 10), ("dog", 30)], "listed", ["cat", "dog"])
    'cat'
    """
    counted = [(name, area) for name, area in objects if classes is None or name in classes]
    if not counted:
        raise SampleError("NO_LABEL", "no annotated object of a class that counts")
    names = list(dict.fromkeys(name for name, _ in counted))
    if rule == "only" and len(names) > 1:
        raise SampleError("SEVERAL_LABELS", f"objects of several classes: {', '.join(names[:5])}")
    if rule == "listed" and classes:
        return min(names, key=list(classes).index)
    return max(counted, key=lambda item: item[1])[0]
