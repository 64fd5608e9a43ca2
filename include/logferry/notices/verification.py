"""What is said of an archive that is not what was published."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from logferry.audit.findings import Finding
from logferry.notices.notice import Notice, compose, key_of, keys_of, range_command, said_of
from logferry.records.manifest import Span
from logferry.spec import ExportSpec
from logferry.wording import counted

_MOST_NAMED = 3
_LONGEST_NAMED = 400

_CAUSES = {
    "object_missing": "files were deleted: by a person, by a lifecycle rule of the bucket, by another program",
    "object_stray": "another program writes into the table",
}
_BYTES_CAUSE = (
    "files were replaced or damaged after they were published, by a person, another program or the disk"
)
_JOURNAL_CAUSE = (
    "the records under `_manifests` were changed, deleted, or put back from an older copy of the lake"
)


def verification_notice(
    export: str, findings: Iterable[Finding], *, page: Callable[[Span | None], str | None]
) -> Notice | None:
    """The notice of what ``verify`` found; None where all of it is explained. ``page``: where a range is shown.

    Each finding is news by itself: an audit that meets known damage beside nothing new says nothing new.
    """
    found = [one for one in findings if one.level == "finding"]
    if not found:
        return None
    span = _span(found)
    where = f", {said_of(span)}" if span is not None else ""
    sentences = [one.sentence() for one in found[:_MOST_NAMED]]
    named = "\n".join(
        f"- {text if len(text) <= _LONGEST_NAMED else text[:_LONGEST_NAMED] + '…'}" for text in sentences
    )
    more = f"\nand {len(found) - _MOST_NAMED:,} more" if len(found) > _MOST_NAMED else ""
    return Notice(
        kind="verification",
        export=export,
        window=span,
        subject=f"{export} is not what was published: {counted(len(found), 'finding')}{where}",
        text=compose(
            f"The archive of {export} is not what was published: {counted(len(found), 'finding')}{where}.\n"
            f"{named}{more}",
            likely="; ".join(dict.fromkeys(_cause(one) for one in found)),
            next_step=_next_step(export, span, damaged=any(one.damages for one in found)),
            page=page(span),
        ),
        keys=keys_of("verification", (f"{one.kind} {one.key} {one.detail}" for one in found)),
    )


def unverified_notice(spec: ExportSpec, cause: str, *, span: Span | None, page: str | None) -> Notice:
    """The notice of an archive that nobody could look at. ``cause``: one sentence without secrets."""
    where = f", {said_of(span)}" if span is not None else ""
    verify = f"logferry verify {spec.name}" if span is None else range_command("verify", spec.name, span)
    return Notice(
        kind="verification",
        export=spec.name,
        window=span,
        subject=f"{spec.name} could not be verified{where}",
        text=compose(
            f"{spec.name} could not be verified{where}: {' '.join(cause.split())}",
            likely="credentials of the lake that expired or changed, a network in between, or an outage of the store",
            next_step=f"logferry coverage {spec.name}; once that reads the lake, {verify}",
            page=page,
        ),
        keys=(key_of("unverified", *(() if span is None else (span.start, span.end))),),
    )


def _next_step(export: str, span: Span | None, *, damaged: bool) -> str:
    if span is None:
        return f"logferry verify {export}"
    if not damaged:
        return range_command("verify", export, span)
    return (
        f"{range_command('verify', export, span)} shows all of it; "
        f"{range_command('export', export, span)} writes it anew, while the source still holds the rows"
    )


def _cause(finding: Finding) -> str:
    return _CAUSES.get(finding.kind) or (_BYTES_CAUSE if finding.damages else _JOURNAL_CAUSE)


def _span(findings: Iterable[Finding]) -> Span | None:
    """From the first slice or window that a finding names to the last; texts of one form sort as instants do."""
    spans = [one.window for one in findings if one.window is not None]
    if not spans:
        return None
    return Span(start=min(span.start for span in spans), end=max(span.end for span in spans))
