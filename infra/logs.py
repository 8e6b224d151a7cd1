"""How a process logs: one line of JSON per event on standard error, secrets blacked out.

Structured, because a person at three in the morning greps for an id; on standard error, because a command's standard
output is its result.
"""

import logging
import re
import sys

import structlog

CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]+:[^/@\s]+(?=@)")
SECRET_NAMES = re.compile(r"(?i)password|secret|token|api_?key|authorization|private")


def black_out(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace values under secret-looking names and credentials inside URLs."""
    for name, value in event.items():
        if SECRET_NAMES.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = CREDENTIALS_IN_URL.sub("***", value)
    return event


def configure_logs(layer: str) -> None:
    """Call once, at the start of a command."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            black_out,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    structlog.contextvars.bind_contextvars(layer=layer)


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(logger_name=name)
    return bound
