"""What `feast apply` registers: each use case's entities, feature views and feature service, from its contract.

The contract is the one declaration of keys, columns and time-to-live; repeating it in Feast's words would only let the
two differ. Feast finds objects by the names of a module, so each gets a name here. Importing this module imports Feast,
which takes seconds: only `apply`, `parity` and Feast's own commands do.
"""

from collections.abc import Iterable

from feature_repo.contracts import USE_CASES
from feature_repo.contracts.base import JOINT, ColumnType, FeatureViewContract, UseCase
from feature_repo.feast_sdk import (
    DUMMY_ENTITY,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    Float32,
    Int64,
    ParquetFormat,
    PrimitiveFeastType,
    Project,
    RepoContents,
    String,
    ValueType,
)
from feature_repo.feast_stores import source_name
from infra.lake import use_case_group, view_table

FEAST_TYPES: dict[ColumnType, PrimitiveFeastType] = {
    ColumnType.FLOAT32: Float32,
    ColumnType.INT64: Int64,
    ColumnType.STRING: String,
}


def entities_of(use_case: UseCase) -> dict[str, Entity]:
    names = sorted({key for view in use_case.views for key in view.join_keys})
    return {name: Entity(name=name, join_keys=[name], value_type=ValueType.STRING) for name in names}


def feature_view(use_case: UseCase, view: FeatureViewContract, entities: dict[str, Entity]) -> FeatureView:
    """Feast serves a row to the end of its time-to-live inclusive; the contract excludes that one microsecond.

    The change log's path is its table's name: what is read is the snapshot that the store was opened on.
    """
    path = f"{use_case_group(use_case.name)}/{view_table(view.name)}"
    keys = [Field(name=name, dtype=String) for name in view.join_keys]
    return FeatureView(
        name=view.name,
        entities=[entities[name] for name in view.join_keys],
        schema=[*keys, *(Field(name=column.name, dtype=FEAST_TYPES[column.type]) for column in view.columns)],
        source=FileSource(
            name=source_name(view), path=path, timestamp_field="available_at", file_format=ParquetFormat()
        ),
        ttl=view.ttl,
        online=True,
        owner=use_case.owner,
        tags={"use_case": use_case.name, "step": str(use_case.step), "lag": str(use_case.lag)},
    )


def feast_objects(use_case: UseCase) -> dict[str, Entity | FeatureView | FeatureService]:
    """Every object by a name of this module that no other object and none of its functions has."""
    entities = entities_of(use_case)
    views = {view.name: feature_view(use_case, view, entities) for view in use_case.views}
    service = FeatureService(
        name=use_case.feature_service,
        features=list(views.values()),
        owner=use_case.owner,
        description=use_case.description,
    )
    return {
        **{f"entity{JOINT}{name}": entity for name, entity in entities.items()},
        **{f"view{JOINT}{name}": view for name, view in views.items()},
        f"service{JOINT}{service.name}": service,
    }


def declared(project: str, use_cases: Iterable[UseCase] = USE_CASES.values()) -> RepoContents:
    """The objects of every use case, as Feast would have found them in this module.

    A join key means the same in every use case: its entity belongs to all of them and is there once.
    """
    by_name = {name: one for use_case in use_cases for name, one in feast_objects(use_case).items()}
    objects = by_name.values()
    views = [one for one in objects if isinstance(one, FeatureView)]
    return RepoContents(
        projects=[Project(name=project)],
        data_sources=[view.batch_source for view in views if view.batch_source is not None],
        entities=[*(one for one in objects if isinstance(one, Entity)), DUMMY_ENTITY],
        feature_views=views,
        feature_services=[one for one in objects if isinstance(one, FeatureService)],
        on_demand_feature_views=[],
        stream_feature_views=[],
        label_views=[],
        permissions=[],
    )


for _use_case in USE_CASES.values():
    globals().update(feast_objects(_use_case))
