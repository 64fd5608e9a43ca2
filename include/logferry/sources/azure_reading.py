"""Pages of Log Analytics' rows, from the bytes of an answer."""

from __future__ import annotations

from dataclasses import dataclass

from logferry.convert.azure_monitor import read_rows
from logferry.convert.kql_types import query_columns
from logferry.sources.azure_query import check_columns, read_answer
from logferry.sources.base import Page, SourceSchema
from logferry.window import Window


@dataclass(frozen=True, slots=True)
class AzureReading:
    """A Reading of answers with status 200 to a query for the rows of ``span``, in ``query_columns(schema)``."""

    schema: SourceSchema
    span: Window

    def __call__(self, body: bytes) -> Page:
        """Raises FailedAnswer or TooMuch when the answer is not whole or not what was asked for."""
        answer = read_answer(body)
        check_columns(answer, query_columns(self.schema))
        rows, notes = read_rows(answer.rows, self.schema, self.span)
        if answer.repaired:
            notes = {**notes, "invalid_text": notes.get("invalid_text", 0) + answer.repaired}
        return Page(rows, None, answer.body_bytes, notes)
