"""Bytes against Feast's own classes, and against what the micro-batch writes: three spellings of one layout."""

import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Null
from feast.protos.feast.types.Value_pb2 import Value as FeastValue

from feature_repo.contracts.base import ColumnType, Value
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.online_store import Change, OnlineStore, Row
from infra.clock import ReplayClock
from serving.online_encoding import decode_value, entity_key
from serving.online_features import OnlineFeatures

INSTANT = datetime(2013, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (FeastValue(), None),
        (FeastValue(null_val=Null.NULL), None),
        (FeastValue(float_val=math.nan), None),
        (FeastValue(double_val=math.nan), None),
        (FeastValue(float_val=0.5), 0.5),
        (FeastValue(float_val=0.0), 0.0),
        (FeastValue(double_val=1 / 3), 1 / 3),
        (FeastValue(int64_val=0), 0),
        (FeastValue(int64_val=-(2**63)), -(2**63)),
        (FeastValue(int64_val=2**63 - 1), 2**63 - 1),
        (FeastValue(int32_val=-5), -5),
        (FeastValue(unix_timestamp_val=1372680000), 1372680000),
        (FeastValue(bool_val=True), 1),
        (FeastValue(string_val=""), ""),
        (FeastValue(string_val="é" * 200), "é" * 200),
    ],
    ids=str,
)
def test_a_value_is_decoded_as_feast_encodes_it(theirs: FeastValue, expected: Value) -> None:
    assert decode_value(theirs.SerializeToString()) == expected


def test_a_value_of_a_type_that_no_feature_has_is_an_error() -> None:
    with pytest.raises(ValueError, match="field 1"):
        decode_value(FeastValue(bytes_val=b"x").SerializeToString())


@pytest.mark.parametrize(
    "values", [{"tail_number": "N1"}, {"origin": "EWR", "carrier": "é"}, {"customer": -7}, {"b": "", "a": "x"}], ids=str
)
def test_an_entity_key_is_feasts(values: Mapping[str, str | int]) -> None:
    feasts = [
        FeastValue(string_val=value) if isinstance(value, str) else FeastValue(int64_val=value)
        for value in values.values()
    ]

    theirs = serialize_entity_key(EntityKey(join_keys=list(values), entity_values=feasts), 3)

    assert entity_key(values) == theirs


def test_what_the_micro_batch_publishes_is_what_the_service_reads(tmp_path: Path) -> None:
    request = {"origin": "EWR", "carrier": "UA", "destination": "IAH", "tail_number": "N1"}
    written: dict[str, Value] = {}
    changes = {}
    for view in FLIGHT_DELAY.views:
        values = tuple(
            1372680000 - position if column.type is ColumnType.INT64 else struct.unpack("<f", struct.pack("<f", 0.1))[0]
            for position, column in enumerate(view.columns)
        )
        written |= {column.name: value for column, value in zip(view.columns, values, strict=True)}
        row = Row(values, INSTANT + FLIGHT_DELAY.lag)
        changes[view.name] = Change({tuple(request[key] for key in view.join_keys): row}, frozenset())
    store = OnlineStore(tmp_path / "online_store.db", FLIGHT_DELAY)
    store.publish(INSTANT, store.encode(changes), after=None)
    clock = ReplayClock(tmp_path / "clock")
    clock.advance(INSTANT + FLIGHT_DELAY.lag)

    read = OnlineFeatures(FLIGHT_DELAY, store.path, clock).read([request])

    store.close()
    assert read.reasons == [()]
    assert read.features == [written]
