"""When things run, never how."""

from infra.libraries import configure_libraries

configure_libraries()
