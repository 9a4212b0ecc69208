"""Which of the tensors in a weights file are a network's: raw or averaged, behind which prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from audit.errors import ModelError
from audit.models.checkpoints import Checkpoint, Entry

OTHER_NETWORK = "Write in model.name the network that was trained, with its number of classes."
_OF_TRAINING = ("n_averaged", "criterion", "loss", "metric", "acc", "confmat", "auroc", "f1")
"""Beginnings of names that lie beside a network's weights and do not answer for it."""


@dataclass(frozen=True)
class Candidate:
    """Tensors of one entry of a file, behind one prefix.

    Parameters
    ----------
    label : str
        By which messages and ``model.weights_entry`` name it.
    entry : Entry
        Of the file.
    prefix : str
        Of the names, with its dot; may be empty.
    """

    label: str
    entry: Entry
    prefix: str

    def state(self) -> dict[str, Tensor]:
        """Tensors by the network's own names."""
        cut = len(self.prefix)
        named = self.entry.state.items()
        return {name[cut:]: value for name, value in named if name.startswith(self.prefix)}

    def metadata(self) -> dict[str, object]:
        """Torch's note on them, likewise."""
        cut = len(self.prefix)
        of_self = self.prefix.removesuffix(".")
        kept = {n[cut:]: v for n, v in self.entry.metadata.items() if n.startswith(self.prefix)}
        if of_self in self.entry.metadata:
            kept[""] = self.entry.metadata[of_self]
        return kept

    def beside(self) -> list[str]:
        """What lies in the entry beside the prefix and is no mere leftover of training."""
        return [
            name
            for name, value in self.entry.state.items()
            if not name.startswith(self.prefix)
            and value.numel() > 1
            and not any(
                part.startswith(_OF_TRAINING)
                or part.endswith(("_loss", "_acc", "_metric", "_metrics"))
                for part in name.lower().split(".")[:-1]
            )
        ]


def choose_weights(
    checkpoint: Checkpoint, needed: set[str], *, name: str, chosen: str | None
) -> Candidate:
    """Find the tensors of a file that bear a network's names, behind whatever prefix.

    Parameters
    ----------
    checkpoint : Checkpoint
        What the file holds.
    needed : set of str
        The network's own names, without those that may be missing.
    name : str
        Of the network, for messages.
    chosen : str, optional
        One of several, by its label or a part of it.

    Returns
    -------
    Candidate
        That has all names; else the nearest, for the message that says what differs.

    Raises
    ------
    ModelError
        No name is known, several weights fit and none was chosen, or the network is a mere part of
        what the file holds.
    """
    counted = list(_candidates(checkpoint, needed))
    if not counted:
        names = [key for entry in checkpoint.entries.values() for key in entry.state]
        raise ModelError(
            f"model.weights: the file does not fit {name}: none of its {len(names)} names "
            f"({', '.join(names[:3])}, ...) is one of that network's "
            f"({', '.join(sorted(needed)[:3])}, ...). {OTHER_NETWORK}"
        )
    if chosen is not None:
        counted = _those_chosen(counted, chosen)
    complete = [candidate for candidate, count in counted if count == len(needed)]
    if not complete:
        # Former names, or another network: the nearest says what differs.
        return max(counted, key=lambda pair: pair[1])[0]
    if len(complete) > 1:
        labels = [candidate.label for candidate in complete]
        raise ModelError(
            f"model.weights: the file holds {len(complete)} sets of weights that fit {name}: "
            f"{', '.join(labels)}. They answer differently (an exponential moving average beside "
            f"the raw weights, say). Set model.weights_entry to one of them: "
            f"{' | '.join(labels)}"
        )
    (found,) = complete
    beside = found.beside()
    if beside and chosen is None:
        raise ModelError(
            f"model.weights: behind {found.prefix!r} lie the weights of {name}, and beside them "
            f"{len(beside)} that it has no place for ({', '.join(beside[:3])}). Is {name} only a "
            f"part of the network? If it is the whole, set model.weights_entry: {found.label}"
        )
    return found


def _candidates(checkpoint: Checkpoint, needed: set[str]) -> Iterator[tuple[Candidate, int]]:
    """Prefixes behind which the network's names lie, and how many of them."""
    for key, entry in checkpoint.entries.items():
        counts: Counter[str] = Counter()
        for full in entry.state:
            start = 0
            while start >= 0:
                if full[start:] in needed:
                    counts[full[:start]] += 1
                start = full.find(".", start) + 1 or -1
        for prefix, count in counts.items():
            label = ".".join(part for part in (key, prefix.removesuffix(".")) if part)
            # A part may bear the names of the whole: layer1.0.conv1 beside conv1.
            if count == len(needed) or count == max(counts.values()):
                yield Candidate(label or "the file itself", entry, prefix), count


def _those_chosen(counted: list[tuple[Candidate, int]], chosen: str) -> list[tuple[Candidate, int]]:
    for fits in (str.__eq__, lambda label, key: f".{label}.".find(f".{key}.") >= 0):
        found = [pair for pair in counted if fits(pair[0].label, chosen)]
        if found:
            return found
    labels = " | ".join(candidate.label for candidate, _ in counted)
    raise ModelError(f"model.weights_entry: expected {labels}, found {chosen!r}")


def note(candidate: Candidate, checkpoint: Checkpoint) -> str:
    """Say which weights were taken, where the file holds others or names them otherwise."""
    if len(checkpoint.entries) == 1 and candidate.prefix in ("", "module.", "_orig_mod."):
        return ""
    return f"model.weights: {candidate.label} was taken"
