"""Who a name belongs to: each is one thing's in an installation, since tables, files, DAGs and models are named by it.

Two things of one name would overwrite each other's rows without a word; here they are refused before anything runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from feature_repo.contracts.base import UseCase


@dataclass(frozen=True)
class Owned:
    """What has a name, and whose it is."""

    kind: str
    use_case: str

    def __str__(self) -> str:
        return f"the {self.kind} of {self.use_case}"


def listed_by_name(*use_cases: UseCase) -> dict[str, UseCase]:
    """The use cases of an installation. Raises ValueError for the first clash between two of them."""
    refuse_clashes(use_cases)
    return {use_case.name: use_case for use_case in use_cases}


def refuse_clashes(use_cases: Sequence[UseCase]) -> None:
    """Raises ValueError, naming both, for two things of one name, two services of one port, a source of nobody."""
    owned_by_name: dict[str, Owned] = {}
    for name, owned in (pair for use_case in use_cases for pair in owned_names(use_case)):
        if name in owned_by_name:
            raise ValueError(clash(name, owned_by_name[name], owned))
        owned_by_name[name] = owned
    refuse_one_port(use_cases)
    owner_by_source = {name: owned.use_case for name, owned in owned_by_name.items() if owned.kind == "source"}
    for use_case in use_cases:
        refuse_unowned(use_case, owner_by_source)


def owned_names(use_case: UseCase) -> Iterator[tuple[str, Owned]]:
    names_by_kind = {
        "use case": [use_case.name],
        "feature service": [use_case.feature_service],
        "source": use_case.sources,
        "feature view": [view.name for view in use_case.views],
    }
    return ((name, Owned(kind, use_case.name)) for kind, names in names_by_kind.items() for name in names)


def clash(name: str, first: Owned, second: Owned) -> str:
    shared = first.kind == second.kind == "source" and first.use_case != second.use_case
    remedy = f", or, if it is one source, have {second.use_case} name it in `reads`" if shared else ""
    return f"{first} and {second} are both called {name!r} and would overwrite each other; rename one{remedy}"


def refuse_one_port(use_cases: Sequence[UseCase]) -> None:
    owner_by_offset: dict[int, str] = {}
    for use_case in use_cases:
        first = owner_by_offset.setdefault(use_case.port_offset, use_case.name)
        if first != use_case.name:
            raise ValueError(
                f"{first} and {use_case.name} both have port_offset {use_case.port_offset}; give one of them another"
            )


def refuse_unowned(use_case: UseCase, owner_by_source: Mapping[str, str]) -> None:
    names = [shared.name for shared in use_case.reads]
    for shared in use_case.reads:
        owner, what = owner_by_source.get(shared.name), f"{use_case.name} reads {shared.name!r} of {shared.owner}"
        if owner is None:
            raise ValueError(f"{what}, but no use case has such a source; correct the name, or declare it there")
        if owner == use_case.name:
            raise ValueError(f"{what}, but owns a source of that name itself; leave it out of `reads`")
        if owner != shared.owner:
            raise ValueError(f"{what}, but that source belongs to {owner}; read it from there")
        if names.count(shared.name) > 1:
            raise ValueError(f"{what} twice; name it in `reads` once")
