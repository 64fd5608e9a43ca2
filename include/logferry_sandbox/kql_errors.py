"""Errors of the KQL interpreter, with the codes the Log Analytics query API reports."""

from __future__ import annotations


class KqlError(Exception):
    """A query the service refuses with 400 BadArgumentError."""


class KqlSyntaxError(KqlError):
    """The text is no KQL this interpreter knows: SYN0002 with a 1-based line, a 0-based position and the
    token.
    """

    def __init__(self, line: int, pos: int, token: str) -> None:
        self.line = line
        self.pos = pos
        self.token = token
        super().__init__(
            f"A recognition error occurred in the query at line {line}, position {pos}: {token!r}."
        )


class KqlSemanticError(KqlError):
    """The text parses but does not mean anything here, e.g. an unknown table or column (SEM0100)."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class ScanTooLarge(Exception):
    """The query would read more rows than the sandbox allows; the service answers 504."""
