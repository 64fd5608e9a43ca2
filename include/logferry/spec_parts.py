"""The parts of an export definition: the three kinds of source, promoted columns, the destination, who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logferry import spec_fields as fields
from logferry.spec_errors import Refusals

if TYPE_CHECKING:
    from logferry.kql_pipeline import Pipeline


class Definition(BaseModel):
    """Frozen, refuses unknown keys, and takes no value for another type's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ColumnSpec(Definition):
    """A promoted column: the value at ``path`` (nested key, else the literal dotted key) as ``type``."""

    path: fields.ColumnPath
    type: Literal["string", "int64", "float64", "bool", "timestamp"]


class DatadogSourceSpec(Definition):
    """A Datadog Logs Search: https://docs.datadoghq.com/api/latest/logs/#search-logs-post."""

    kind: Literal["datadog"] = "datadog"
    connection: fields.Text
    query: fields.DatadogQuery = "*"
    indexes: fields.Indexes = ("*",)
    storage_tier: Literal["indexes", "online-archives", "flex"] = "indexes"
    retention: fields.Retention = None


class AzureMonitorSourceSpec(Definition):
    """One table of a Log Analytics workspace, read row by row through an optional KQL pipeline."""

    kind: Literal["azure_monitor"] = "azure_monitor"
    connection: fields.Text
    workspace: fields.WorkspaceGuid
    table: fields.KqlName
    time_column: fields.KqlName = "TimeGenerated"
    pipeline: fields.PipelineText = None
    retention: fields.Retention = None

    def parsed_pipeline(self) -> Pipeline:
        """The pipeline's operators; an empty pipeline when the definition has none."""
        from logferry.kql_pipeline import parse_pipeline  # KQL, which the other sources do without

        return parse_pipeline(self.pipeline or "")


class AzureLogSearchSourceSpec(Definition):
    """The retired Log Search API of Log Analytics; ``workspace`` is the workspace's NAME, as in its URL."""

    kind: Literal["azure_log_search"] = "azure_log_search"
    connection: fields.Text
    subscription: fields.SubscriptionGuid
    resource_group: fields.ResourceName
    workspace: fields.WorkspaceName
    query: fields.LegacyQuery
    top: fields.Top = 5000
    retention: fields.Retention = None


SourceSpec = Annotated[
    DatadogSourceSpec | AzureMonitorSourceSpec | AzureLogSearchSourceSpec, Field(discriminator="kind")
]


class DestinationSpec(Definition):
    """Where the files go: ``s3://bucket/prefix``, ``file:///folder`` or ``./folder`` below the project."""

    url: fields.DestinationUrl = None
    connection: fields.Text | None = None

    @model_validator(mode="after")
    def _connection_has_a_use(self) -> DestinationSpec:
        if self.connection is not None and not (self.url or "").startswith("s3://"):
            raise Refusals(
                [("connection", "only an s3:// url uses a connection; remove it or give an s3:// url")]
            )
        return self


EVENTS: tuple[fields.Event, ...] = ("short", "verification", "behind")
"""What a channel of ``notify`` can be told of; all of it, unless it says otherwise."""


class SmtpNotifySpec(Definition):
    """Mail through an Airflow connection of type ``smtp``, from the ``from_email`` that it names."""

    kind: Literal["smtp"] = "smtp"
    connection: fields.NotifyConnection
    to: fields.Addresses
    on: fields.Events = EVENTS


class WebhookNotifySpec(Definition):
    """A Slack-compatible incoming webhook, whose address is an Airflow connection's."""

    kind: Literal["webhook"] = "webhook"
    connection: fields.NotifyConnection
    on: fields.Events = EVENTS


NotifySpec = Annotated[SmtpNotifySpec | WebhookNotifySpec, Field(discriminator="kind")]
