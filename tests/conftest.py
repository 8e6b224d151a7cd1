"""The tests run with the libraries as every process of an installation has them."""

from infra.libraries import configure_libraries

configure_libraries()
