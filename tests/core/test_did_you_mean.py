import pytest

from airflow_provider_claude_batch.core.did_you_mean import did_you_mean

COLUMNS = ["call_id", "opened_at", "transcript"]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (["cal_id"], " Did you mean call_id?"),
        (["transcrpt", "open_at"], " Did you mean transcript, opened_at?"),
        (["call_ids", "calls_id"], " Did you mean call_id?"),
        (["weather"], ""),
        ([], ""),
    ],
)
def test_the_closest_names_are_offered_and_no_others(written, says):
    assert did_you_mean(written, COLUMNS) == says


def test_a_model_is_offered_for_a_slip_and_not_for_another_generation():
    models = ["claude-haiku-5-5", "claude-fable-5-2"]
    assert did_you_mean(["claude-haiku-55"], models) == " Did you mean claude-haiku-5-5?"
    assert did_you_mean(["claude-2.1"], models) == ""


def test_nothing_is_offered_where_nothing_is_known():
    assert did_you_mean(["cal_id"], []) == ""
