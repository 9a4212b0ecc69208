"""Seeded choices: the same in every run, on every machine and in any order of the samples.

Where the contents of the samples are known, they are what is drawn by: another name or folder is no
other draw, and one sample more or less changes few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

T = TypeVar("T")


def sample_seed(seed: int, sample_id: str, purpose: str) -> int:
    """Seed of one sample's own noise, so that it never depends on batch neighbours.

    Examples
    --------
    >>> sample_seed(0, "wolf/1.png", "saliency") == sample_seed(0, "wolf/1.png", "saliency")
    True
    >>> sample_seed(0, "wolf/1.png", "saliency") == sample_seed(0, "wolf/1.png", "donors")
    False
    """
    return int.from_bytes(_digest(seed, sample_id, purpose)[:7], "big")


def _digest(seed: int, name: str, purpose: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}\0{purpose}".encode()).digest()


def ordered(names: Iterable[T], seed: int, purpose: str) -> list[T]:
    """Shuffle names, whatever their order before.

    Parameters
    ----------
    names : iterable
        Each once; told apart by their text.
    seed : int
        Of the run.
    purpose : str
        What is chosen: another purpose gives another order.

    Examples
    --------
    >>> ordered("abc", 0, "tag") == ordered("cba", 0, "tag")
    True
    """
    return sorted(names, key=lambda name: _digest(seed, str(name), purpose))


def at_most(
    table: pd.DataFrame, most: int, seed: int, purpose: str, *, of_each: str | None = None
) -> pd.DataFrame:
    """Choose rows by a seeded shuffle of what they hold; of their ids where that is not known.

    Parameters
    ----------
    table : DataFrame
        With ``sample_id``, each once; and perhaps ``sha256``.
    most : int
        At most so many.
    seed : int
        Of the run.
    purpose : str
        What is chosen: another purpose gives another choice.
    of_each : str, optional
        A column: at most so many rows of each of its values.

    Returns
    -------
    DataFrame
        The rows chosen, by their index.

    Examples
    --------
    >>> table = pd.DataFrame({"sample_id": list("abcd"), "label": [0, 0, 0, 1]})
    >>> at_most(table, 2, 0, "bank", of_each="label")["label"].tolist()
    [0, 0, 1]
    """
    shuffled = _shuffled(table, seed, purpose)
    chosen = shuffled.head(most) if of_each is None else shuffled.groupby(of_each).head(most)
    return chosen.drop(columns="_order").sort_index()


def spread_over(
    table: pd.DataFrame, most: int, seed: int, purpose: str, *, column: str
) -> pd.DataFrame:
    """Choose rows as evenly over the values of a column as can be, by a seeded shuffle.

    Parameters
    ----------
    table, most, seed, purpose
        As for :func:`at_most`.
    column : str
        Over whose values.

    Returns
    -------
    DataFrame
        The rows chosen, in the order of `table`, numbered from 0.
    """
    shuffled = _shuffled(table, seed, purpose)
    turn = shuffled.groupby(column).cumcount()
    chosen = shuffled.assign(_turn=turn).sort_values(["_turn", "_order"]).head(most)
    return chosen.drop(columns=["_order", "_turn"]).sort_index().reset_index(drop=True)


def permuted(rows: Sequence[int], most: int, entropy: int | Sequence[int]) -> list[int]:
    """Draw some of many numbers, in the order drawn; another order of `rows` is another draw."""
    return [int(row) for row in np.random.default_rng(entropy).permutation(rows)[:most]]


def identities(table: pd.DataFrame) -> list[str]:
    """What each row of a table is drawn by: its ``sha256`` where that is known, else its id."""
    ids = table["sample_id"]
    if "sha256" not in table:
        return ids.tolist()
    known = table["sha256"].notna() & (table["sha256"] != "")
    return table["sha256"].where(known, ids).tolist()


def ranks(keys: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """One number for each of many keys and a seed, as if it had been drawn: the least are chosen.

    What a key gets hangs on the key and the seed alone, so that one key more changes a choice only
    where it is itself among the chosen (rendezvous hashing, Thaler and Ravishankar 1998). The
    numbers are those of SplitMix64 (Steele et al. 2014).

    Examples
    --------
    >>> keys = np.array([1, 2, 3], np.uint64)
    >>> bool((ranks(keys, 7)[1:] == ranks(keys[1:], 7)).all())
    True
    """
    with np.errstate(over="ignore"):
        mixed = (keys ^ np.uint64(seed)) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashed: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashed


def _shuffled(table: pd.DataFrame, seed: int, purpose: str) -> pd.DataFrame:
    order = [_digest(seed, name, purpose).hex() for name in identities(table)]
    # Copies are alike, and among them the id decides.
    return table.assign(_order=order).sort_values(["_order", "sample_id"])
