"""From a contract to a registered, signed model version."""

from infra.libraries import configure_libraries

configure_libraries()
