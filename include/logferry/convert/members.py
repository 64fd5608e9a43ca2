"""Values at some paths of many JSON documents: no more is decoded than lies at those paths."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import GenericAlias
from typing import Any

import msgspec

from logferry.errors import FailedAnswer

_MOST_DIGITS = 400
"""No double has more digits before its point."""
_RUN_DOCUMENTS = 128
"""Documents decoded at a time: what is joined anew after each of another shape."""
_MISSING = object()
_UNSET: Any = msgspec.UNSET
_LEAF: Any = int | float | str | bool | None
_LEAF_OR_UNSET: Any = _LEAF | msgspec.UnsetType
_EMPTY = msgspec.Raw(b"{}")
_Getter = Callable[[list[Any]], list[Any]]
_Tree = dict[str, Any]
_decode_any = msgspec.json.Decoder().decode


def find_members(documents: Sequence[bytes | msgspec.Raw | None], paths: Sequence[str]) -> list[list[Any]]:
    """For each path the values of all documents (None: no document); None where a value is null or missing.

    ``a.b`` is member ``b`` of member ``a``, or else the member ``a.b``. Raises FailedAnswer for a document nested
    too deeply to be decoded.
    """
    found: list[list[Any]] = [[] for _ in paths]
    finder = _finders.of(tuple(paths))
    at = 0
    while at < len(documents):
        run = documents[at : at + _RUN_DOCUMENTS]
        read = finder.read([_EMPTY if document is None else document for document in run])
        for values, getter in zip(found, finder.getters, strict=True):
            values += getter(read)
        at += len(read)
        if len(read) < len(run):
            odd = run[len(read)]
            whole = None if odd is None else _parse(bytes(odd))
            for values, path in zip(found, paths, strict=True):
                values.append(_find(whole, path))
            at += 1
    return found


class _Finder:
    """Decodes documents by a type that has the paths' members only, and no containers at their ends."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._seen: list[Any] = []
        tree = _tree(paths)
        self.getters: list[_Getter] = [_getter(tree, path) for path in paths]
        # A method of a list as __post_init__: called in C for each document as soon as it is whole.
        members = _struct(tree, {"__post_init__": self._seen.append})
        self._decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(
            GenericAlias(list, (members,))
        ).decode

    def read(self, documents: Sequence[bytes | msgspec.Raw]) -> list[Any]:
        """The documents up to the first of another shape."""
        try:
            return self._decode(b"[" + b",".join(documents) + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._seen.copy()
        finally:
            self._seen.clear()


class _NoFinder:
    """For paths that no type can have together: takes no document."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.getters: list[_Getter] = [list for _ in paths]

    def read(self, documents: Sequence[bytes | msgspec.Raw]) -> list[Any]:
        return []


class _Finders(threading.local):
    """One thread's newest finder: it notes what it has read."""

    def __init__(self) -> None:
        self._paths: tuple[str, ...] = ()
        self._finder: _Finder | _NoFinder = _NoFinder(())

    def of(self, paths: tuple[str, ...]) -> _Finder | _NoFinder:
        if paths != self._paths:
            try:
                self._finder = _Finder(paths)
            except (ValueError, TypeError):  # a path goes on where another ends, or holds a quote
                self._finder = _NoFinder(paths)
            self._paths = paths
        return self._finder


_finders = _Finders()


def _tree(paths: Sequence[str]) -> _Tree:
    """The members by name: a type at the end of a path, else the tree below."""
    root: _Tree = {}
    for path in paths:
        *parents, last = path.split(".")
        here: Any = root
        for name in parents:
            here = here.setdefault(name, {}) if isinstance(here, dict) else None
        if not isinstance(here, dict) or isinstance(here.setdefault(last, _LEAF_OR_UNSET), dict):
            raise ValueError(f"a path goes on where another ends: {path}")
        if parents:
            root[path] = _LEAF
    return root


def _struct(tree: _Tree, namespace: dict[str, Any]) -> Any:
    fields = []
    names = {}
    for number, (name, below) in enumerate(tree.items()):
        names[f"f{number}"] = name
        if isinstance(below, dict):
            fields.append((f"f{number}", _struct(below, {}) | None, None))
        else:
            fields.append((f"f{number}", below, _UNSET if below is _LEAF_OR_UNSET else None))
    return msgspec.defstruct("Members", fields, namespace=namespace, rename=names, gc=False)


def _getter(tree: _Tree, path: str) -> _Getter:
    """Gives the path's value in each of the decoded documents."""
    fields = []
    here: Any = tree
    for name in path.split("."):
        fields.append(attrgetter(f"f{list(here).index(name)}"))
        here = here[name]
    first, *below = fields
    if not below:
        return lambda read: [None if value is _UNSET else value for value in map(first, read)]
    literal = attrgetter(f"f{list(tree).index(path)}")

    def get(read: list[Any]) -> list[Any]:
        values = list(map(first, read))
        for field in below:
            values = [_UNSET if value is None or value is _UNSET else field(value) for value in values]
        return [
            literal(document) if value is _UNSET else value
            for value, document in zip(values, read, strict=True)
        ]

    return get


def _parse(document: bytes) -> Any:
    try:
        return _decode_any(document)
    except msgspec.DecodeError:
        # Numbers beyond a double and lone surrogates: legal JSON that msgspec refuses.
        return json.loads(document, parse_int=_whole)
    except RecursionError as error:
        raise FailedAnswer("an event's attributes are nested too deeply to be looked into") from error


def _whole(digits: str) -> int | float:
    """A whole number; beyond any column's range infinity, as Python refuses to read thousands of digits."""
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


def _find(document: Any, path: str) -> Any:
    here = document
    for key in path.split("."):
        if not isinstance(here, dict) or key not in here:
            here = _MISSING
            break
        here = here[key]
    if here is _MISSING and isinstance(document, dict):
        return document.get(path)
    return None if here is _MISSING else here
