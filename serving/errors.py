"""Everything that serving raises on purpose, as one tree.

A caller's fault carries its HTTP status and names the field, so that the edge can answer without knowing the cause;
the registry being away and a package being wrong are apart, because the first is retried and the second is an alarm.
"""

import msgspec


class ServingError(Exception):
    """Base of all; an answer is made of `status`, `field`, `problem` and `expected`."""

    status = 503

    def __init__(self, problem: str, *, field: str = "service", expected: str = "try again later") -> None:
        super().__init__(problem)
        self.problem = problem
        self.field = field
        self.expected = expected

    def to_json(self) -> bytes:
        return msgspec.json.encode({"error": {"field": self.field, "problem": self.problem, "expected": self.expected}})


class BadRequest(ServingError):
    """The caller must change something before asking again."""

    def __init__(self, problem: str, *, field: str, expected: str, status: int = 400) -> None:
        super().__init__(problem, field=field, expected=expected)
        self.status = status


class NotReady(ServingError):
    """No model is loaded yet, or too many requests wait."""


class NotLogged(ServingError):
    """The answer could not be recorded, so it is not given: 507 when the disk is full, else 503."""

    def __init__(self, problem: str, *, status: int = 503) -> None:
        super().__init__(problem, field="prediction_log", expected="ask again once the log can be written")
        self.status = status


class RegistryUnavailable(ServingError):
    """The registry did not answer, in time or with sense; nothing is known about the version."""


class PackageRefused(ServingError):
    """The version is unsigned, altered, or made for another contract: it must never be served."""


class NothingToRelease(ServingError):
    """Refused politely: there is no version that may become champion."""

    exit_code = 99


class NothingLogged(ServingError):
    """There is no prediction log yet, so there is nothing to score."""

    exit_code = 99


class ReleaseFailed(ServingError):
    """The alias is set and the service did not follow in time; it still may."""


class UnknownPrediction(ServingError):
    """No answer with this id was ever acknowledged."""
