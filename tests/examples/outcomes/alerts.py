"""There was nothing to tell anybody, and both looks say what they saw."""


def conf(folder):
    return {}


def check(folder, query, xcom):
    assert xcom("failure_rate") >= 0
    assert len(xcom("in_progress")) == 4
