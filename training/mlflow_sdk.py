"""MLflow's client, opened without Feast: import it from here where a command needs it.

Feast registers a provider of request headers with MLflow, for servers that authenticate by it, so that the first
request of a process imports all of Feast: 11 s of CPU for headers that nobody here asks for. To be removed once
importing Feast takes no time worth saving, or MLflow lets a process choose its providers.
"""

import sys
import warnings

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

if "feast" not in sys.modules:
    sys.modules["feast"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings(action="ignore"):
            # It loads what registered, once, and takes a failure for a provider that is not there.
            from mlflow.tracking.request_header import registry as registry
    finally:
        del sys.modules["feast"]

__all__ = ["MlflowClient", "MlflowException"]
