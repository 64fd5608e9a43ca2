"""Every error the engine raises, grouped by what the caller can do about it.

    LogferryError
    ├── DefinitionError        fix the export definition, the connection or the command
    │   └── QueryRejected      the source says the query itself is wrong
    ├── CredentialsError       fix the credentials or the permissions
    ├── SourceError            the source did not give a whole answer
    │   ├── Unavailable        wait and ask again (``wait_s`` when the source named a time)
    │   │   └── FailedAnswer   an answer came but is not whole: ask again, then ask for less
    │   ├── TooMuch            ask for less: a shorter range, or a smaller page
    │   ├── CountUnavailable   no trustworthy count here: the window can only be `unproven`
    │   └── CursorLost         the continuation died or turned in a circle: start the sub-slice again
    ├── StoreError             the object store or the disk failed
    │   └── Superseded         another run published the same slices meanwhile: run again
    └── ShortError             published, but the counts differ; carries both numbers

Messages are one sentence: what is wrong, where, what to do. They never carry secrets or rows.
``exit_code`` maps each branch to the documented exit codes of the command line.
"""

from __future__ import annotations


class LogferryError(Exception):
    """Root of the tree; ``exit_code`` is the command line's exit status for it."""

    exit_code = 1


class DefinitionError(LogferryError):
    """A definition, connection, window or command is wrong; nothing was asked of the source."""

    exit_code = 2


class QueryRejected(DefinitionError):
    """The source refused the query as such; asking again cannot help."""


class ShortError(LogferryError):
    """A window was published with fewer or more rows than the source counts."""

    exit_code = 3


class CredentialsError(LogferryError):
    """Keys, tokens or permissions were refused."""

    exit_code = 4


class SourceError(LogferryError):
    """The source did not give a whole answer."""

    exit_code = 5


class Unavailable(SourceError):
    """A passing fault. ``wait_s`` is the source's own wish in seconds, None when it named none."""

    def __init__(self, message: str, *, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class FailedAnswer(Unavailable):
    """An answer that is partial, cut, empty or unreadable: never a smaller result."""


class TooMuch(SourceError):
    """The answer exceeds what the source gives at once; a shorter range may fit.

    ``most_rows``: the most rows of an answer, where the source named that as the limit.
    """

    def __init__(self, message: str, *, most_rows: int | None = None) -> None:
        super().__init__(message)
        self.most_rows = most_rows


class CountUnavailable(SourceError):
    """The source, its tier or the credential cannot count; the rows can still be fetched."""


class CursorLost(SourceError):
    """The source's continuation token expired, was refused or repeated itself."""


class StoreError(LogferryError):
    """Reading or writing the destination failed."""

    exit_code = 6


class Superseded(StoreError):
    """Another run began to publish some of the same slices after this one did; nothing was committed."""


EXIT_GRAVITY = (4, 6, 5, 3, 1)
"""Of several windows' exit codes the first of these that occurs is the command's."""


def gravest(codes: list[int]) -> int:
    """The exit code of a command over several windows; 0 when all are 0."""
    for code in EXIT_GRAVITY:
        if code in codes:
            return code
    return max(codes, default=0)
