"""How the installed libraries behave in every process: they report nothing home and ask this machine without a proxy.

Libraries read this from the environment alone, most of them when they are imported. So each layer's package calls
`configure_libraries` before any of its modules is imported, and every child process inherits what it set.
"""

import os
import sys
from pathlib import Path

NO_REPORTS = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",  # Evidently's
    "GX_ANALYTICS_ENABLED": "false",
    "ITERATIVE_DO_NOT_TRACK": "1",  # of what Evidently reports with
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NO_PROXY = ("NO_PROXY", "no_proxy")
FONTS = Path(sys.prefix) / "matplotlib"  # of the environment, beside the fonts that it lists


def configure_libraries() -> None:
    """Call before a library is imported. The folder of matplotlib's list of fonts is only proposed."""
    os.environ.update(NO_REPORTS, **asked_directly(*LOOPBACK))
    os.environ.setdefault("MPLCONFIGDIR", str(FONTS))


def asked_directly(*hosts: str) -> dict[str, str]:
    """The variables by which every library asks these hosts without a proxy, and those that a user named there.

    Both spellings get the hosts of both, because a library reads only one of them. `*` stands for every host, but only
    where it stands alone.
    """
    named = [host.strip() for variable in NO_PROXY for host in os.environ.get(variable, "").split(",")]
    directly = list(dict.fromkeys(host for host in (*named, *hosts) if host))
    return dict.fromkeys(NO_PROXY, "*" if "*" in directly else ",".join(directly))
