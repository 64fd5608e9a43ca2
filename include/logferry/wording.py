"""Numbers with their nouns, and excerpts of answers, for people."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """``1 slice``, ``1,200 slices``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def excerpt(body: bytes) -> str:
    """At most 200 characters of an answer for an error message, on one line."""
    text = " ".join(body[:800].decode("utf-8", "replace").split())
    return text[:200] if text else "(empty body)"
