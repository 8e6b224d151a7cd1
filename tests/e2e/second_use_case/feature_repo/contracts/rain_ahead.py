"""Will it rain at this airport within three hours? Asked on the hour."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from feature_repo.contracts.base import (
    Column,
    ColumnType,
    FeatureViewContract,
    Label,
    RequestField,
    RequestType,
    SharedSource,
    TaskType,
    UseCase,
    Value,
)


def request_features(request: Mapping[str, object], features: Mapping[str, Value]) -> dict[str, Value]:
    """The hour of the day in UTC, and how far the air is from saturation."""
    hour, temperature, dew_point = request["hour"], features["rain_temperature"], features["rain_dew_point"]
    assert isinstance(hour, datetime)
    spread = None if temperature is None or dew_point is None else float(temperature) - float(dew_point)
    return {"asked_hour": float(hour.hour), "dew_point_spread": spread, "asked_airport": str(request["airport"])}


RAIN_AHEAD = UseCase(
    name="rain_ahead",
    owner="weather-desk",
    description="Will it rain at an airport of New York within three hours?",
    task_type=TaskType.BINARY_CLASSIFICATION,
    feature_service="rain_ahead_v1",
    port_offset=1,
    sources=(),
    reads=(SharedSource(name="weather", owner="flight_delay"),),
    views=(
        FeatureViewContract(
            name="airport_rain",
            join_keys=("airport",),
            columns=(
                Column(name="rain_hours_6h", type=ColumnType.INT64),
                Column(name="rain_precipitation_3h", type=ColumnType.FLOAT32),
                Column(name="rain_humidity", type=ColumnType.FLOAT32),
                Column(name="rain_temperature", type=ColumnType.FLOAT32),
                Column(name="rain_dew_point", type=ColumnType.FLOAT32),
                Column(name="rain_pressure_change_3h", type=ColumnType.FLOAT32),
                Column(name="rain_visibility", type=ColumnType.FLOAT32),
            ),
            ttl=timedelta(days=2),
        ),
    ),
    request=(
        RequestField(name="airport", type=RequestType.STRING, max_length=3),
        RequestField(name="hour", type=RequestType.TIMESTAMP),
    ),
    request_columns=(
        Column(name="asked_hour", type=ColumnType.FLOAT32),
        Column(name="dew_point_spread", type=ColumnType.FLOAT32),
        Column(name="asked_airport", type=ColumnType.STRING),
    ),
    request_features=request_features,
    label=Label(name="rain", max_delay=timedelta(hours=6)),
    step=timedelta(hours=1),
    lag=timedelta(minutes=5),
    gate_window=timedelta(days=14),
    decision_threshold=0.5,
)
