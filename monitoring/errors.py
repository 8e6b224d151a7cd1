"""What can go wrong in monitoring, in one place; each message says what to do next."""


class MonitoringError(Exception):
    """A check could not be made; nothing was decided and nothing was written."""


class NothingServed(MonitoringError):
    """No version answers yet, so there is no reference to compare with."""


class ReferenceMissing(MonitoringError):
    """The rows that the served version was trained on cannot be found."""


class PackageRefused(MonitoringError):
    """The served version's package is unsigned, altered or unreadable; nothing of it was parsed."""
