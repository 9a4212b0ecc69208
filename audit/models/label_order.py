"""Whether the labels mean the outputs that the manifest says, by a model's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

Labels = NDArray[np.int64]

_LEAST_IMAGES = 20
"""From so many on an accuracy can be told from guessing."""
_LEAST_GAIN = 8
"""Images that another order must explain beyond the declared one."""
_SHUFFLES = 99
_LEVEL = 0.05
_SHOWN = 12


def order_complaint(labels: Labels, predictions: Labels, class_names: Sequence[str]) -> str:
    """Say whether the labels look shuffled against the outputs, or the model guesses.

    The declared order is compared with the best one-to-one map of labels to outputs (Hungarian
    algorithm), for any number of classes of the dataset, all of the model's or a few. What the
    best map gains must be more than it gains on shuffled labels: on few images of many classes
    some map always fits.

    Parameters
    ----------
    labels, predictions : int64 (N,)
        Of a sample of the dataset, as indices of outputs.
    class_names : sequence of K str
        In the declared order of the outputs.

    Returns
    -------
    str
        A sentence with the better order, or with the accuracy that guessing gives; "" where all
        is well, or where too few images were tried to tell.
    """
    total = len(labels)
    right = int((labels == predictions).sum())
    moved = better_outputs(labels, predictions)
    if moved:
        touched = np.isin(labels, list(moved))
        before = int((labels == predictions)[touched].sum())
        after = sum(int(((labels == k) & (predictions == v)).sum()) for k, v in moved.items())
        return (
            f"LABEL_MAP_SUSPECT: of {int(touched.sum())} images of {len(moved)} classes the model "
            f"answers {before} as declared, but {after} once the classes are renumbered (of all "
            f"{total} images {right} as declared, {right - before + after} then). The order of "
            "model.classes is probably not that of the model's outputs. "
            f"{_order(moved, class_names)}"
        )
    expected = _guessed(labels, predictions, len(class_names))
    # Not to be told from guessing: as many right answers, or more, happen by chance.
    if total >= _LEAST_IMAGES and float(binom.sf(right - 1, total, expected)) > _LEVEL:
        return (
            f"ACCURACY_AT_CHANCE: the model is right on {right} of {total} images, and guessing "
            f"gives {expected * total:.0f}.{_favourite(labels, predictions, class_names)} Are "
            "model.classes, model.input (size, mean, std) and model.weights those of its training?"
        )
    return ""


def better_outputs(labels: Labels, predictions: Labels) -> dict[int, int]:
    """Find labels that another output answers, where that is no accident.

    Parameters
    ----------
    labels, predictions : int64 (N,)
        As indices of outputs.

    Returns
    -------
    dict of int to int
        The label's declared output to the one that answers it; empty where the declared order is
        as good as any.
    """
    if not len(labels):
        return {}
    moved = _moved(labels, predictions)
    is_moved = np.isin(labels, list(moved))
    few, answers = labels[is_moved], predictions[is_moved]
    gain, best = _gain(few, answers, moved)
    if gain < _LEAST_GAIN or best < 0.5 * len(few) or best - gain >= 0.5 * best:
        return {}
    plain = len(few) >= 4 * len(moved) and best >= 0.8 * len(few)
    if plain and _by_chance(few, answers, gain) <= _LEVEL:
        # A few classes among many: shuffling all would let the others speak.
        return moved
    return moved if _by_chance(labels, predictions, gain) <= _LEVEL else {}


def _by_chance(labels: Labels, predictions: Labels, gain: int) -> float:
    """How often shuffled labels gain as much; always, where there is one label only."""
    draw = np.random.default_rng(0)
    shuffled = (draw.permutation(labels) for _ in range(_SHUFFLES))
    gains = (_gain(mixed, predictions, _moved(mixed, predictions))[0] for mixed in shuffled)
    return (1 + sum(found >= gain for found in gains)) / (1 + _SHUFFLES)


def _moved(labels: Labels, predictions: Labels) -> dict[int, int]:
    """The best one-to-one map, as far as it differs from the declared one with any evidence."""
    rows = np.unique(labels)
    columns = np.unique(np.concatenate([labels, predictions]))
    counts = np.zeros((len(rows), len(columns)))
    np.add.at(counts, (np.searchsorted(rows, labels), np.searchsorted(columns, predictions)), 1)
    declared = rows[:, None] == columns[None]
    # Of two maps that fit alike the declared one counts.
    chosen = linear_sum_assignment(-(counts + 1e-6 * declared))
    return {
        int(rows[row]): int(columns[column])
        for row, column in zip(*chosen, strict=True)
        if rows[row] != columns[column]
        and (counts[row, column] > 0 or counts[row][declared[row]].sum() > 0)
    }


def _gain(labels: Labels, predictions: Labels, moved: Mapping[int, int]) -> tuple[int, int]:
    """Answers that a map explains beyond the declared order, and all that it explains."""
    targets = np.array([moved.get(int(label), int(label)) for label in labels], dtype=np.int64)
    best = int((targets == predictions).sum())
    return best - int((labels == predictions).sum()), best


def _guessed(labels: Labels, predictions: Labels, outputs: int) -> float:
    """Accuracy if answers and labels had nothing to do with each other (Cohen 1960)."""
    seen = np.unique(labels)
    if len(seen) < 2:
        return 1 / outputs
    return float(sum((labels == k).mean() * (predictions == k).mean() for k in seen))


def _favourite(labels: Labels, predictions: Labels, class_names: Sequence[str]) -> str:
    answers, counts = np.unique(predictions, return_counts=True)
    most = int(counts.argmax())
    if counts[most] < 0.5 * len(labels):
        return ""
    name = class_names[int(answers[most])]
    return f" It answers {name!r} to {int(counts[most])} of them."


def _order(moved: Mapping[int, int], class_names: Sequence[str]) -> str:
    """The better order in words: whole where it is short, else the outputs that move."""
    names = {output: class_names[label] for label, output in moved.items()}
    if len(class_names) <= _SHOWN and set(moved) == set(names):
        whole = (names.get(index, name) for index, name in enumerate(class_names))
        return f"A better order: {', '.join(whole)}."
    shown = [f"output {output} is {name!r}" for output, name in sorted(names.items())[:_SHOWN]]
    more = ", ..." if len(names) > _SHOWN else ""
    return f"By the answers {', '.join(shown)}{more}."
