"""When the stages of rain_ahead run; its features as often as the owner of what it reads ingests that.

The names are annotated with airflow.sdk.DAG: Airflow skips a file whose text names neither airflow nor a DAG.
"""

from airflow.sdk import DAG

from dags.blueprints.features import features_dag
from dags.blueprints.monitoring import monitoring_dag
from dags.blueprints.release import release_dag
from dags.blueprints.training import training_dag
from feature_repo.contracts.rain_ahead import RAIN_AHEAD

features: DAG = features_dag(RAIN_AHEAD, cron="0 0 * * *")
monitoring: DAG = monitoring_dag(RAIN_AHEAD, reconcile_cron="10 * * * *")
training: DAG = training_dag(RAIN_AHEAD, reconcile_cron="20 * * * *")
release: DAG = release_dag(RAIN_AHEAD, reconcile_cron="40 * * * *")
