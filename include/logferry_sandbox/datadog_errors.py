"""The refusals of the Datadog API, as exceptions the API turns into its error envelope."""


class DatadogRefusalError(Exception):
    """The request is answered with ``status`` and ``{"errors": [message]}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(field: str, reason: str) -> DatadogRefusalError:
    """A 400 in the wording of the real API's validation."""
    return DatadogRefusalError(400, f"input_validation_error(Field '{field}' is invalid: {reason})")
