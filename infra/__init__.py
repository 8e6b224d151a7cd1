"""Where things run: settings, clock, logs, and the local processes."""

from infra.libraries import configure_libraries

configure_libraries()
