"""Loads the warehouse every night, and trains the forecast on Sundays."""

from datetime import datetime, timedelta

import pendulum
from airflow import DAG
from airflow.models import Variable
from airflow.models.baseoperator import chain
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import PythonOperator
from airflow.providers.amazon.aws.operators.batch import BatchOperator
from airflow.utils.task_group import TaskGroup
from airflow.utils.trigger_rule import TriggerRule

OWNER = "warehouse"
default_args = {
    "owner": OWNER,
    "depends_on_past": False,
    "retries": 1,
    "retry_delay": timedelta(minutes=5),
    "email_on_failure": True,
}


def forecast(**context):
    return context["ds"]


with DAG(
    "warehouse_nightly",
    description="Nightly load of the warehouse",
    schedule="30 1 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Zurich"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args=default_args,
    params={"mode": "full"},
    tags=["warehouse"],
) as dag:
    start = EmptyOperator(task_id="start")
    with TaskGroup("extract") as extract:
        orders = BashOperator(task_id="orders", bash_command="wh-extract orders --mode {{ params.mode }}")
        stock = BashOperator(task_id="stock", bash_command="wh-extract stock", execution_timeout=timedelta(minutes=30))
        orders >> stock
    load = BashOperator(
        task_id="load",
        bash_command="wh-load",
        env={"TARGET": "dwh"},
        retries=3,
    )
    report = BashOperator(task_id="report", bash_command="wh-report")
    publish = BashOperator(task_id="publish", bash_command="wh-publish")
    tidy = BashOperator(task_id="tidy", bash_command="wh-tidy", trigger_rule=TriggerRule.ALL_DONE)

    start >> extract >> load
    chain(load, [report, publish], tidy)

model = DAG(
    dag_id="warehouse_model",
    schedule_interval="@weekly",
    start_date=datetime(2026, 1, 4),
    default_args={**default_args, "retries": 0},
    catchup=True,
)
features = BatchOperator(
    task_id="features",
    job_name="features",
    job_queue="ml",
    job_definition="features:7",
    container_overrides={"command": ["features", "--all"]},
    dag=model,
)
train = PythonOperator(task_id="train", python_callable=forecast, dag=model)
train.set_upstream(features)

with DAG("warehouse_sites", schedule=None, start_date=datetime(2026, 1, 1)) as sites:
    for site in Variable.get("sites").split(","):
        BashOperator(task_id=f"load_{site}", bash_command=f"wh-site {site}")
