"""Reads a definition file: YAML in, a mapping of plain values out, or one clear sentence.

Stricter than YAML: a key written twice is an error, times stay the text they are (YAML would turn a time
without a zone into something), aliases are not followed, and one file holds one mapping.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import Resolver
from yaml.scanner import Scanner

from logferry.errors import DefinitionError

MOST_BYTES = 1_000_000
_CParser: Any = import_module("yaml.cyaml").CParser if yaml.__with_libyaml__ else None


class _Strict(Composer, SafeConstructor, Resolver):
    """The safe composer and constructor with the stricter rules above; a loader adds a parser."""

    check_event: Callable[..., bool]
    peek_event: Callable[[], Any]

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"'*{event.anchor}' is read as a YAML alias, which definitions do not use",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == "tag:yaml.org,2002:bool" and key.style is None:
                # YAML 1.1 takes `on` for a truth value; no key is one.
                key.tag = "tag:yaml.org,2002:str"
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(
                    problem=f"the key {getattr(key, 'value', '')!r} is not plain text",
                    problem_mark=key.start_mark,
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is already in line {seen[key.value]}; remove one of the two",
                    problem_mark=key.start_mark,
                )
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


_Strict.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _DefinitionLoader(Reader, Scanner, Parser, _Strict):
    """With PyYAML's own parser, whose complaints are the ones that are shown."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)


def _quick_loader() -> Callable[[str], Any] | None:
    """With libyaml's parser, at a seventh of the time: Airflow reads the folder of definitions again every half
    minute. None where PyYAML has no libyaml."""
    if _CParser is None:
        return None

    class _QuickLoader(_Strict, _CParser):  # type: ignore[misc]
        def __init__(self, text: str) -> None:
            _CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    return _QuickLoader


_quick = _quick_loader()


def read_definition(path: Path) -> dict[str, Any]:
    """The mapping in the file. DefinitionError, beginning with the path, when there is none to be had."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DefinitionError(
            f"{path}: the file cannot be read ({error.strerror}); restore it or remove it"
        ) from None
    if len(raw) > MOST_BYTES:
        raise DefinitionError(
            f"{path}: the file is larger than {MOST_BYTES // 1_000_000} MB; a definition is a page of YAML, "
            "put data elsewhere"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DefinitionError(f"{path}: line {line}: the file is not UTF-8 text; save it as UTF-8") from None
    try:
        data = _loaded(text)
    except yaml.YAMLError as error:
        raise DefinitionError(f"{path}: {_sentence(error)}") from None
    except (RecursionError, ValueError) as error:
        raise DefinitionError(
            f"{path}: the YAML holds a value that cannot be read ({type(error).__name__}); quote it or "
            "simplify it"
        ) from None
    if data is None:
        raise DefinitionError(f"{path}: the file is empty; write a definition or remove the file")
    if not isinstance(data, dict):
        raise DefinitionError(
            f"{path}: the file holds no 'key: value' lines but one {_kind(data)}; begin with 'name: …'"
        )
    return data


_PLAIN_NAME = re.compile(rb"^name:[ \t]*([a-z][a-z0-9_]*)[ \t]*(?:#.*)?\r?$", re.MULTILINE)


def is_plainly_another(path: Path, name: str) -> bool:
    """Whether the file says, in a line ``name: …`` that needs no YAML to be read, that it is not of this name."""
    try:
        names = _PLAIN_NAME.findall(path.read_bytes())
    except OSError:
        return False
    return bool(names) and name.encode() not in names


def _loaded(text: str) -> Any:
    """What the text says; where libyaml has a complaint, PyYAML's own parser words it."""
    if _quick is not None:
        with contextlib.suppress(yaml.YAMLError, RecursionError, ValueError):
            return _quick(text).get_single_data()
    return _DefinitionLoader(text).get_single_data()


def _kind(data: object) -> str:
    return "list" if isinstance(data, list) else "value"


_REMEDIES = (
    ("'\\t'", "indent with spaces, not tabs"),
    ("alias", 'put the value in quotes, such as "*"'),
    ("cannot start any token", 'put the value in quotes, such as "@daily"'),
    ("mapping values are not allowed", "put a value that contains ': ' in quotes"),
    ("is not plain text", "put the key in quotes"),
    ("another document", "put each export in its own file"),
    ("constructor for the tag", "write the value without a '!' tag"),
    ("<block end>", "begin all keys of a block in the same column"),
    ("<stream end>", "close the bracket that is open before it"),
    ("end of stream", "close the quote that is open before it"),
)


def _sentence(error: yaml.YAMLError) -> str:
    """PyYAML's complaint in one line, with the place and, for the usual slips, the remedy."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it is not YAML")
    context = str(getattr(error, "context", None) or "")
    problem = " ".join(problem.split()).removeprefix("but ")
    if mark is None:
        return f"the file is not readable YAML: {problem}; save it as plain UTF-8 text"
    if "remove one of the two" in problem:
        return f"line {mark.line + 1}: {problem}"
    remedy = next(
        (advice for sign, advice in _REMEDIES if sign in f"{context} {problem}"), "correct that line"
    )
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}; {remedy}"
