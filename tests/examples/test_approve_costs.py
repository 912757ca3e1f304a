from tests.examples.outcomes.approve_costs import check

TASKS = ["notes.submit", "notes.wait", "notes.load", "tell"]


def test_what_a_person_approves_is_sent(run_example, warehouse, tmp_path, emulator):
    states = run_example("approve_costs")
    assert set(states.values()) == {"success"}
    check(tmp_path, warehouse)
    assert len(emulator.batches) == 1


def test_what_a_person_rejects_is_not(run_example, tmp_path, emulator):
    states = run_example("approve_costs", answers={"notes.approve": {"chosen_options": ["Reject"]}})
    assert {states[name] for name in TASKS} == {"skipped"}
    assert emulator.batches == []
    assert not (tmp_path / "notes").exists()
