"""Which output of the model each label of the dataset means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from audit.errors import ModelError


def _key(name: str) -> str:
    """A name without case, punctuation and WordNet number."""
    return re.sub(r"[\s_\-]+", " ", re.sub(r"^n\d{8}[-_ ]", "", name)).strip().casefold()


def match_labels(
    labels: Sequence[str], class_names: Sequence[str] | None, outputs: int
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Match label names of the dataset to outputs of the model, by name.

    Exact names win; else case, spaces, dashes, underscores and a leading WordNet number are
    overlooked. Labels that are whole numbers, none of them a class name, are taken as indices.

    Parameters
    ----------
    labels : sequence of str
        All label names of the dataset.
    class_names : sequence of K str, or None
        In the order of the outputs; None: the dataset's own names in text order, as torchvision's
        ``ImageFolder`` numbers them, provided that there are exactly K.
    outputs : int
        K.

    Returns
    -------
    indices : dict of str to int
        For every label.
    names : tuple of K str
        For every output: the dataset's name where there is one, so that a class has one name in all
        that is written; else the model's. Where several outputs bear one name, each has its number
        behind it.

    Raises
    ------
    ModelError
        The counts differ, a label fits no class, or one fits several.

    Examples
    --------
    >>> match_labels(["eskimo_dog"], ["husky", "Eskimo dog"], 2)
    ({'eskimo_dog': 1}, ('husky', 'eskimo_dog'))
    """
    labels = sorted(labels)
    if class_names is None:
        return _by_order(labels, outputs)
    if len(class_names) != outputs:
        raise ModelError(
            f"model.classes: {len(class_names)} names for a model with {outputs} outputs, such as "
            f"{class_names[0]!r} and {class_names[-1]!r}. Write the {outputs} names into the file, "
            "one a line, in output order."
        )
    outputs_named, names = _outputs_by_name(class_names), _told_apart(class_names)
    numbered = {name: [index] for index, name in enumerate(names)}
    found: dict[str, int] = {}
    lost: list[str] = []
    for label in labels:
        candidates = numbered.get(label) or outputs_named(label)
        if len(candidates) > 1:
            raise ModelError(
                f"dataset: label {label!r} fits several classes of the model: "
                f"{', '.join(repr(names[i]) for i in candidates)}. Rename the class as one of them."
            )
        if candidates:
            found[label] = candidates[0]
        else:
            lost.append(label)
    if lost and not found and all(label.isascii() and label.isdigit() for label in labels):
        return _by_index(labels, names)
    if lost:
        shown = ", ".join(repr(label) for label in lost[:8])
        raise ModelError(
            f"dataset: {len(lost)} of {len(labels)} labels are no class of the model: {shown}. "
            f"The model knows {', '.join(repr(n) for n in class_names[:5])}, ... "
            "Rename them, or set model.classes to a file with the right names in output order."
        )
    return found, _as_the_dataset_says(names, found)


def _as_the_dataset_says(names: Sequence[str], indices: Mapping[str, int]) -> tuple[str, ...]:
    spelled = {index: label for label, index in indices.items()}
    return tuple(spelled.get(index, name) for index, name in enumerate(names))


def _told_apart(class_names: Sequence[str]) -> tuple[str, ...]:
    """Names by which each output can be found again: ImageNet has two classes called crane."""
    counts = Counter(class_names)
    return tuple(
        name if counts[name] == 1 else f"{name} ({index})" for index, name in enumerate(class_names)
    )


def shared_outputs(class_names: Sequence[str], others: Sequence[str]) -> dict[int, int]:
    """Match the outputs of one model to those of another, by the rule of :func:`match_labels`.

    Parameters
    ----------
    class_names : sequence of K str
        Of the first model, in the order of its outputs.
    others : sequence of str
        Of the second.

    Returns
    -------
    dict of int to int
        The first model's outputs to the second's, without those whose name fits several: two of
        the 1,000 ImageNet classes are called crane. Equal lists are matched output by output.

    Examples
    --------
    >>> shared_outputs(["Eskimo_dog", "cat"], ["n02123045-cat", "n02109961-Eskimo-dog", "ant"])
    {0: 1, 1: 0}
    """
    if list(class_names) == list(others):
        return {index: index for index in range(len(others))}
    ours, theirs = _outputs_by_name(class_names), _outputs_by_name(others)
    shared = {}
    for index, name in enumerate(class_names):
        candidates = theirs(name)
        # Nor may their name mean another one of ours: "Cardigan" is a dog, "cardigan" a jacket.
        if len(candidates) == 1 and ours(others[candidates[0]]) == [index]:
            shared[index] = candidates[0]
    return shared


def _outputs_by_name(class_names: Sequence[str]) -> Callable[[str], list[int]]:
    """Prepare the question which outputs a name may mean: exactly, else loosely."""
    exact: dict[str, list[int]] = {}
    loose: dict[str, list[int]] = {}
    for index, name in enumerate(class_names):
        exact.setdefault(name, []).append(index)
        loose.setdefault(_key(name), []).append(index)
    return lambda name: exact.get(name) or loose.get(_key(name), [])


def _by_index(
    labels: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    indices = {label: int(label) for label in labels}
    beyond = [label for label, index in indices.items() if index >= len(names)]
    if beyond:
        raise ModelError(
            f"dataset: label {beyond[0]} is beyond the model's {len(names)} outputs (0 to "
            f"{len(names) - 1}). Number the classes from 0, or write the model's names into "
            "model.classes."
        )
    return indices, _as_the_dataset_says(names, indices)


def _by_order(labels: Sequence[str], outputs: int) -> tuple[dict[str, int], tuple[str, ...]]:
    if len(labels) != outputs:
        raise ModelError(
            f"model.classes: missing. The model has {outputs} outputs and the dataset "
            f"{len(labels)} classes, so the order cannot be guessed. Write the {outputs} class "
            "names into a file, one a line, in output order."
        )
    if all(label.isascii() and label.isdigit() for label in labels):
        natural = sorted(labels, key=int)
        if natural != list(labels):
            raise ModelError(
                "model.classes: missing. The labels are numbers whose text order "
                f"({', '.join(labels[:3])}, ...) is not their numeric order; write the class "
                "names into a file in output order."
            )
    return {label: index for index, label in enumerate(labels)}, tuple(labels)
