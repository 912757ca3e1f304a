"""The table of the quickstart."""

# [START make_shop]
import sqlite3

REVIEWS = [
    (1, "2026-11-20", "en", "kettle", "Boils fast. The lid broke after a week, which is bad."),
    (2, "2026-11-20", "de", "kettle", "Sehr gut, und leise."),
    (3, "2026-11-21", "en", "toaster", "Good value, even browning."),
    (4, "2026-11-21", "fr", "toaster", "Mauvais: il brûle tout. Bad."),
    (5, "2026-11-22", "en", "lamp", "It is a lamp."),
]

shop = sqlite3.connect("shop.sqlite")
shop.execute("create table reviews (review_id integer, day text, lang text, product text, body text)")
shop.executemany("insert into reviews values (?, ?, ?, ?, ?)", REVIEWS)
shop.commit()
shop.close()
# [END make_shop]
