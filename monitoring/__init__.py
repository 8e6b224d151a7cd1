"""From answers to alarms."""

from infra.libraries import configure_libraries

configure_libraries()
