"""Will this flight arrive 15 minutes late or more? Asked two hours before its scheduled departure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from feature_repo.contracts.base import (
    Column,
    ColumnType,
    FeatureViewContract,
    Label,
    RequestField,
    RequestType,
    TaskType,
    UseCase,
    Value,
)

NEW_YORK = ZoneInfo("America/New_York")


def floats(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=ColumnType.FLOAT32) for name in names)


def request_features(request: Mapping[str, object], features: Mapping[str, Value]) -> dict[str, Value]:
    """Hour, weekday and planned block time in local terms, and the slack against the aircraft's last known leg."""
    departure, arrival = request["scheduled_departure"], request["scheduled_arrival"]
    assert isinstance(departure, datetime)
    assert isinstance(arrival, datetime)
    local = departure.astimezone(NEW_YORK)
    back = features["aircraft_back_at"]
    slack = None if back is None else (departure.timestamp() - float(back)) / 60
    return {
        "departure_minute_of_day": float(local.hour * 60 + local.minute),
        "departure_weekday": float(local.weekday()),
        "planned_block_minutes": (arrival - departure).total_seconds() / 60,
        "aircraft_slack_minutes": slack,
        "flight_origin": str(request["origin"]),
        "flight_destination": str(request["destination"]),
        "flight_carrier": str(request["carrier"]),
    }


FLIGHT_DELAY = UseCase(
    name="flight_delay",
    owner="flight-operations",
    description="Will a flight from New York arrive 15 minutes late or more, two hours before its scheduled departure?",
    task_type=TaskType.BINARY_CLASSIFICATION,
    feature_service="flight_delay_v1",
    sources=("flights", "weather"),
    views=(
        FeatureViewContract(
            name="origin_weather",
            join_keys=("origin",),
            columns=floats("weather_temperature", "weather_wind_speed", "weather_precipitation", "weather_visibility"),
            ttl=timedelta(hours=6),
        ),
        FeatureViewContract(
            name="aircraft",
            join_keys=("tail_number",),
            columns=(
                Column(name="aircraft_back_at", type=ColumnType.INT64),
                *floats("aircraft_last_departure_delay"),
            ),
            ttl=timedelta(days=3),
        ),
    ),
    request=(
        RequestField(name="carrier", type=RequestType.STRING, max_length=3),
        RequestField(name="flight", type=RequestType.INTEGER, maximum=9999),
        RequestField(name="origin", type=RequestType.STRING, max_length=4),
        RequestField(name="destination", type=RequestType.STRING, max_length=4),
        RequestField(name="tail_number", type=RequestType.STRING, nullable=True, max_length=8),
        RequestField(name="scheduled_departure", type=RequestType.TIMESTAMP),
        RequestField(name="scheduled_arrival", type=RequestType.TIMESTAMP),
    ),
    request_columns=(
        *floats("departure_minute_of_day", "departure_weekday", "planned_block_minutes", "aircraft_slack_minutes"),
        Column(name="flight_origin", type=ColumnType.STRING),
        Column(name="flight_destination", type=ColumnType.STRING),
        Column(name="flight_carrier", type=ColumnType.STRING),
    ),
    request_features=request_features,
    label=Label(name="late", max_delay=timedelta(hours=36)),
    step=timedelta(hours=1),
    lag=timedelta(minutes=5),
    gate_window=timedelta(days=14),
    decision_threshold=0.35,
)
