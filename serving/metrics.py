"""What the service counts. Every label's values come from declarations, never from a caller.

A registry of its own: the process-wide one belongs to the frameworks that are loaded beside us.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

LATENCY_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class FeatureAge:
    """A gauge without a sample where the newest answer had no features: an age of 0 would call them fresh."""

    def __init__(self, use_case: str) -> None:
        self.use_case = use_case
        self.seconds: float | None = None

    def collect(self) -> Iterator[Metric]:
        documentation = "Age of the newest answer's features by the Clock."
        family = GaugeMetricFamily("flywheel_feature_age_seconds", documentation, labels=("use_case",))
        if self.seconds is not None:
            family.add_metric((self.use_case,), self.seconds)
        yield family


class Metrics:
    """One instance per process."""

    def __init__(self, use_case: str) -> None:
        self.registry = CollectorRegistry()
        self.use_case = use_case
        self.requests = self.counter("requests", "Requests by endpoint and status code.", "endpoint", "code")
        self.predictions = self.counter("predictions", "Acknowledged predictions.", "model_version", "replayed")
        self.degraded = self.counter("degraded_predictions", "Predictions with absent features, by reason.", "reason")
        self.swaps = self.counter("model_swaps", "Model versions taken over without a restart.")
        self.swap_failures = self.counter("model_swap_failures", "Versions not taken over, by kind.", "kind")
        self.latency = Histogram(
            "flywheel_prediction_latency_seconds",
            "Wall time of an answered POST /predict inside the service.",
            ("use_case",),
            registry=self.registry,
            buckets=LATENCY_BUCKETS,
        ).labels(use_case)
        self.served_version = self.gauge("served_model_version", "Version that answers; 0 when none is loaded.")
        self.refused_version = self.gauge("refused_model_version", "Champion that this service refuses; 0 if none.")
        self.registry_reachable = self.gauge("registry_reachable", "1 if the registry answered the last poll.")
        self.feature_age = FeatureAge(use_case)
        self.registry.register(self.feature_age)

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"flywheel_{name}_total", documentation, ("use_case", *labels), registry=self.registry)

    def gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(f"flywheel_{name}", documentation, ("use_case",), registry=self.registry).labels(self.use_case)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
