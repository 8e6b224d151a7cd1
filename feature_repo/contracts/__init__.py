"""The use cases of this installation, written by hand: the only list of them."""

from feature_repo.contracts.base import UseCase
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.contracts.ownership import listed_by_name

USE_CASES: dict[str, UseCase] = listed_by_name(FLIGHT_DELAY)


def use_case_named(name: str) -> UseCase:
    """Raises ValueError, with the names there are, if there is no such use case."""
    try:
        return USE_CASES[name]
    except KeyError as error:
        raise ValueError(f"no use case {name!r}; there are: {', '.join(sorted(USE_CASES))}") from error


def serving_port(first: int, use_case: str) -> int:
    """The port of a use case's service, whichever others there are. Raises ValueError."""
    return first + use_case_named(use_case).port_offset
