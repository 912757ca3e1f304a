"""When the example Dags that run by themselves run first."""

import datetime as dt
import runpy
import warnings

import pytest
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

from tests.examples.conftest import EXAMPLE_DAGS


@pytest.mark.parametrize("dag_id", ["enrich_chunks", "nightly_packages", "translate_news"])
def test_switching_the_dag_on_makes_up_for_no_missed_night(dag_id, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE_DAGS))
    with warnings.catch_warnings():
        # What Airflow does by itself, importing its providers.
        warnings.simplefilter("ignore")
        dag = runpy.run_path(str(EXAMPLE_DAGS / f"{dag_id}.py"))[dag_id]
    is_cron = isinstance(dag.schedule, str)
    timetable = CronTriggerTimetable(dag.schedule, timezone="UTC") if is_cron else dag.schedule
    restriction = TimeRestriction(dag.start_date, None, catchup=False)
    first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    # Airflow calls a run that was due within the last tenth of its interval late, not missed.
    assert first.run_after > dt.datetime.now(dt.UTC) - dt.timedelta(days=0.11)
