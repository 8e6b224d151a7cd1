"""What a use case declares in this layer, loaded by its name and held to its contract.

Its file is `use_cases/<name>.py`. A source that it only reads is declared once, by its owner, and imported from there:
a second declaration could differ, and the two would judge one delivery differently.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from feature_repo.contracts import use_case_named
from feature_repo.contracts.base import UseCase, require_own_name
from feature_repo.sources import Source
from feature_repo.transforms import Transforms

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Declarations:
    """`sources` are its own and those that it reads; `feed` and `references` are of what it owns alone."""

    contract: UseCase
    sources: Sequence[Source]
    transforms: Transforms
    feed: Callable[[], Iterable[tuple[str, "pa.Table"]]]
    references: Callable[[], Mapping[str, "pa.Table"]]

    def own_source(self, name: str) -> Source:
        """A source that is ingested for this use case. Raises ValueError, with whose it is, for any other."""
        owner = self.contract.owner_by_source.get(name)
        if owner is None:
            raise ValueError(f"{self.contract.name} has no source {name!r}; there are: {self.own_names}")
        if owner != self.contract.name:
            raise ValueError(
                f"{self.contract.name} only reads {name!r}, its own sources are: {self.own_names}; {owner} ingests it: "
                f"`python -m feature_repo ingest {owner} {name}`"
            )
        return next(source for source in self.sources if source.name == name)

    @property
    def own_names(self) -> str:
        return ", ".join(sorted(self.contract.sources)) or "none"

    def own_feed(self) -> Iterable[tuple[str, "pa.Table"]]:
        """Each own source's deliveries. Raises ValueError for one of a source that is another's to deliver."""
        for name, deliveries in self.feed():
            self.own_source(name)
            yield name, deliveries

    def own_references(self) -> Mapping[str, "pa.Table"]:
        tables = self.references()
        for name in tables:
            require_own_name("reference table", name)
        return tables


def declarations_of(use_case: str) -> Declarations:
    """Raises ValueError, with the names there are, for an unknown one, and for declarations that break its contract."""
    contract, module = use_case_named(use_case), module_of(use_case)
    refuse_other_sources(contract, module.SOURCES)
    if module.TRANSFORMS.contract != contract:
        raise ValueError(f"{use_case}: its TRANSFORMS are of {module.TRANSFORMS.contract.name}; give them its contract")
    return Declarations(
        contract=contract,
        sources=module.SOURCES,
        transforms=module.TRANSFORMS,
        feed=getattr(module, "FEED", list),
        references=getattr(module, "REFERENCES", dict),
    )


def module_of(use_case: str) -> ModuleType:
    return import_module(f"feature_repo.use_cases.{use_case}")


def refuse_other_sources(contract: UseCase, declared: Sequence[Source]) -> None:
    """Raises ValueError unless the sources are the contract's, and each that it reads is its owner's own."""
    found, expected = sorted(source.name for source in declared), sorted(contract.owner_by_source)
    if found != expected:
        raise ValueError(
            f"{contract.name}: its SOURCES are {', '.join(found)}, its contract owns or reads {', '.join(expected)}; "
            "correct one of them"
        )
    for source in declared:
        owner = contract.owner_by_source[source.name]
        if owner != contract.name and not any(source is its for its in module_of(owner).SOURCES):
            raise ValueError(
                f"{contract.name}: its {source.name} is not {owner}'s; import it from feature_repo.use_cases.{owner}"
            )
