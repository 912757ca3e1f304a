from tests.examples.outcomes.triage_backfill import check


def test_a_form_becomes_labels(run_example, warehouse, tmp_path, emulator):
    states = run_example("triage_backfill")
    assert set(states.values()) == {"success"}
    check(tmp_path, warehouse)
    assert len(emulator.batches) == 1
