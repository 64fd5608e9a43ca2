"""What each API needs to authenticate, made from a connection.

Nothing is sent when these are made; a token is asked for by the first ``headers()``.
"""

from logferry.credentials.authenticator import Authenticator
from logferry.credentials.aws import S3Settings, s3_settings
from logferry.credentials.azure import AzureAccess, azure_access
from logferry.credentials.datadog import DatadogAccess, datadog_access

__all__ = [
    "Authenticator",
    "AzureAccess",
    "DatadogAccess",
    "S3Settings",
    "azure_access",
    "datadog_access",
    "s3_settings",
]
