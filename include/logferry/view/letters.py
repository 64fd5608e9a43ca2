"""One letter for the state of a slice, the gravest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from logferry.audit.coverage import SliceCover
from logferry.audit.gaps import GapState, gap_state

Letter = Literal["D", "M", "S", "I", "U", "P", "N"]
LETTERS: tuple[Letter, ...] = ("D", "M", "S", "I", "U", "P", "N")
"""Damaged, missing, short, interrupted, unproven, proven, not due."""

WORDS: dict[Letter, str] = {
    "D": "damaged",
    "M": "missing",
    "S": "short",
    "I": "interrupted",
    "U": "unproven",
    "P": "proven",
    "N": "not_due",
}
GAPS: dict[Letter, GapState] = {"D": "damaged", "M": "missing", "S": "short", "I": "interrupted"}
"""The letters of slices that are gaps."""

_OF_A_WORD: dict[str, Letter] = {word: letter for letter, word in WORDS.items()}


def letter(slice_: SliceCover) -> Letter:
    """What a slice is shown as: what makes it a gap, else what its last publication says."""
    return _OF_A_WORD[gap_state(slice_) or slice_.state]


def worst(letters: Iterable[str]) -> Letter | None:
    """The gravest; None of none."""
    found = set(letters)
    return next((one for one in LETTERS if one in found), None)
