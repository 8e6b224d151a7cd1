"""When the stages of flight_delay run.

The names are annotated with airflow.sdk.DAG: Airflow skips a file whose text names neither airflow nor a DAG.
"""

from airflow.sdk import DAG

from dags.blueprints.features import features_dag
from dags.blueprints.monitoring import monitoring_dag
from dags.blueprints.release import release_dag
from dags.blueprints.training import training_dag
from feature_repo.contracts.flight_delay import FLIGHT_DELAY

features: DAG = features_dag(FLIGHT_DELAY, cron="0 0 * * *")
monitoring: DAG = monitoring_dag(FLIGHT_DELAY, reconcile_cron="0 6 * * *")
training: DAG = training_dag(FLIGHT_DELAY, reconcile_cron="20 * * * *")
release: DAG = release_dag(FLIGHT_DELAY, reconcile_cron="40 * * * *")
