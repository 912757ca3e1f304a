from tests.examples.outcomes.label_packages import check


def test_every_package_is_labelled(run_example, warehouse, tmp_path):
    assert run_example("label_packages") == dict.fromkeys(["submit", "wait", "load"], "success")
    check(tmp_path, warehouse)
