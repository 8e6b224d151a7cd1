"""What the data means: contracts, sources, expectations, features and how they are made."""

from infra.libraries import configure_libraries

configure_libraries()
