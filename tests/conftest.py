"""The tests have the libraries as every process of an installation has them, and a home of their own for Airflow."""

import os
from tempfile import TemporaryDirectory

from infra.libraries import configure_libraries

configure_libraries()
AIRFLOW_HOME = TemporaryDirectory(prefix="airflow-of-tests-")  # read when Airflow is imported; gone when the tests end
os.environ["AIRFLOW_HOME"] = AIRFLOW_HOME.name
