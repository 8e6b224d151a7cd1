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

# Each key's row is written anew at the first instant of a day, changed or not: no healthy row is older than a day.
# Whole days, because Feast's DuckDB store cannot express a duration of mixed units.
TTL = timedelta(days=2)


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


VIEWS = (
    FeatureViewContract(
        name="origin_traffic",
        join_keys=("origin",),
        columns=floats(
            "origin_departures_1h",
            "origin_departure_delay_1h",
            "origin_departure_late_share_1h",
            "origin_departure_delay_3h",
            "origin_departure_late_share_3h",
            "origin_departure_surplus_3h",
            "origin_departure_delay_24h",
            "origin_departures_today",
            "origin_departure_delay_today",
            "origin_departure_late_share_today",
            "origin_departure_surplus_today",
            "origin_arrival_delay_3h",
            "origin_block_surplus_3h",
            "origin_overdue_count",
            "origin_overdue_share",
            "origin_overdue_15_share",
            "origin_overdue_minutes",
            "origin_cancelled_share_today",
            "origin_planned_next_3h",
        ),
        ttl=TTL,
    ),
    FeatureViewContract(
        name="carrier_traffic",
        join_keys=("carrier",),
        columns=floats(
            "carrier_departure_delay_today",
            "carrier_departure_late_share_today",
            "carrier_departure_surplus_today",
            "carrier_arrival_delay_today",
            "carrier_departure_delay_24h",
            "carrier_departure_late_share_24h",
            "carrier_arrival_delay_24h",
            "carrier_arrival_delay_168h",
            "carrier_arrival_late_share_168h",
            "carrier_overdue_share",
            "carrier_overdue_minutes",
            "carrier_cancelled_share_today",
        ),
        ttl=TTL,
    ),
    FeatureViewContract(
        name="destination_traffic",
        join_keys=("destination",),
        columns=floats(
            "destination_departure_delay_6h",
            "destination_departure_surplus_6h",
            "destination_arrival_delay_6h",
            "destination_arrival_delay_24h",
            "destination_arrival_delay_168h",
            "destination_arrival_late_share_168h",
            "destination_block_surplus_6h",
            "destination_block_surplus_24h",
            "destination_overdue_share",
            "destination_overdue_minutes",
        ),
        ttl=TTL,
    ),
    FeatureViewContract(
        name="origin_carrier_traffic",
        join_keys=(
            "origin",
            "carrier",
        ),
        columns=floats(
            "origin_carrier_departure_delay_3h",
            "origin_carrier_departure_delay_today",
            "origin_carrier_departure_late_share_today",
            "origin_carrier_departure_surplus_today",
            "origin_carrier_departure_delay_24h",
            "origin_carrier_departure_late_share_24h",
            "origin_carrier_arrival_delay_24h",
            "origin_carrier_overdue_count",
            "origin_carrier_overdue_share",
            "origin_carrier_overdue_minutes",
        ),
        ttl=TTL,
    ),
    FeatureViewContract(
        name="origin_weather",
        join_keys=("origin",),
        columns=floats(
            "weather_temperature",
            "weather_dew_point",
            "weather_humidity",
            "weather_wind_direction",
            "weather_wind_speed",
            "weather_wind_gust",
            "weather_precipitation",
            "weather_pressure",
            "weather_visibility",
            "weather_visibility_lowest_6h",
            "weather_precipitation_highest_6h",
            "weather_wind_speed_highest_3h",
            "weather_pressure_change_3h",
        ),
        ttl=TTL,
    ),
    FeatureViewContract(
        name="aircraft",
        join_keys=("tail_number",),
        columns=(
            Column(name="aircraft_back_at", type=ColumnType.INT64),
            *floats(
                "aircraft_departure_delay",
                "aircraft_arrival_delay",
                "aircraft_departure_delay_before",
                "aircraft_waiting",
                "aircraft_block_minutes",
                "aircraft_legs_today",
            ),
        ),
        ttl=TTL,
    ),
)

FLIGHT_DELAY = UseCase(
    name="flight_delay",
    owner="flight-operations",
    description="Will a flight from New York arrive 15 minutes late or more, two hours before its scheduled departure?",
    task_type=TaskType.BINARY_CLASSIFICATION,
    feature_service="flight_delay_v1",
    port_offset=0,
    sources=("flights", "weather"),
    views=VIEWS,
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
