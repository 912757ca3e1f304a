from tests.examples.outcomes.rescore_compliance import check


def test_the_first_run_labels_everything_and_asks_nobody(run_example, warehouse, tmp_path):
    states = run_example("rescore_compliance", answers={})
    assert states.pop("review") == "skipped"
    assert set(states.values()) == {"success"}
    check(tmp_path, warehouse)
