"""From a model version to answers."""

from infra.libraries import configure_libraries

configure_libraries()
