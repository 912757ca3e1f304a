"""What the last run of an example has left in Airflow's database."""

from typing import Any

from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select


def last_run(dag_id: str) -> str:
    """Return the id of the run whose first XCom is the youngest."""
    with create_session() as session:
        newest = (
            select(XComModel.run_id).where(XComModel.dag_id == dag_id).order_by(XComModel.timestamp.desc())
        )
        return str(session.scalars(newest).first())


def xcoms(dag_id: str) -> dict[tuple[str, str], Any]:
    """Return its XComs by task and key."""
    with create_session() as session:
        found = session.scalars(XComModel.get_many(run_id=last_run(dag_id), dag_ids=dag_id))
        return {(each.task_id, each.key): XComModel.deserialize_value(each) for each in found}


def question(dag_id: str) -> str:
    """Return headline and text of its question."""
    with create_session() as session:
        of_run = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == last_run(dag_id))
        wanted = select(HITLDetail).join(TaskInstance, TaskInstance.id == HITLDetail.ti_id).where(*of_run)
        detail = session.scalars(wanted).one()
        return f"{detail.subject}\n\n{detail.body}"
