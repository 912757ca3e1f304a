"""Every package has its card in the warehouse."""

import datetime as dt


def conf(folder):
    return {
        "destination": str(folder / "cards"),
        "everything": True,
        "deadline": (dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)).isoformat(),
    }


def check(folder, query):
    names = query("select name, version from packages order by 1")
    assert query("select name, version from package_cards order by 1") == names
    assert query("select distinct typeof(risk), typeof(uses_network) from package_cards") == [
        ("BIGINT", "BOOLEAN")
    ]
    assert query("select count(*) from package_cards where risk in (0, 3, 5, 8, 10) and purpose <> ''") == [
        (len(names),)
    ]
    assert list((folder / "cards").glob("night=*/data.parquet"))
