"""What can go wrong with an installation; a command prints the sentence and ends with 1, without a traceback."""


class InstallationError(Exception):
    """This machine or these settings do not allow what was asked."""


class ProcessError(InstallationError):
    """A supervised process ended or did not become ready; the message has its last lines."""


class AirflowError(InstallationError):
    """Airflow refused a request (then `status` is its answer's), or a run did not end as it should."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
