"""The topics that the demo's Dag chooses from, and what a package says of itself in Trove classifiers."""

from collections.abc import Iterable

#: First match wins: what says most about a package comes first. Classifiers that say nothing of a topic are
#: not here, such as "Software Development :: Libraries".
TROVE_TO_TOPIC = (
    ("Framework :: Apache Airflow", "Airflow"),
    ("Framework :: Pytest", "testing"),
    ("Framework :: Hypothesis", "testing"),
    ("Topic :: Software Development :: Testing", "testing"),
    ("Topic :: Software Development :: Quality Assurance", "testing"),
    ("Topic :: Security", "security"),
    ("Topic :: Database", "database"),
    ("Framework :: OpenTelemetry", "telemetry"),
    ("Topic :: System :: Monitoring", "telemetry"),
    ("Topic :: System :: Logging", "telemetry"),
    ("Topic :: Scientific/Engineering", "scientific computing"),
    ("Intended Audience :: Science/Research", "scientific computing"),
    ("Topic :: Internet :: WWW/HTTP", "web"),
    ("Framework :: FastAPI", "web"),
    ("Framework :: Flask", "web"),
    ("Topic :: Text Processing", "parsing and formats"),
    ("Topic :: File Formats", "parsing and formats"),
    ("Topic :: Software Development :: Build Tools", "build tools"),
    ("Topic :: Software Development :: Compilers", "build tools"),
    ("Topic :: System :: Archiving :: Packaging", "build tools"),
    ("Framework :: AsyncIO", "asyncio"),
    ("Framework :: AnyIO", "asyncio"),
    ("Framework :: Trio", "asyncio"),
    ("Topic :: Internet", "web"),
    ("Topic :: Terminals", "terminal"),
    ("Topic :: System", "operating system"),
)

TOPICS = frozenset(topic for _, topic in TROVE_TO_TOPIC) | {"cloud services", "other"}


def trove_topic(classifiers: Iterable[str]) -> str | None:
    """
    Return the topic that a package's Trove classifiers stand for, or ``None`` where they name none.

    :param classifiers: As in the package's metadata, such as ``Topic :: Database :: Front-Ends``.
    """
    paths = [f"{classifier} ::" for classifier in classifiers]
    for prefix, topic in TROVE_TO_TOPIC:
        if any(path.startswith(f"{prefix} ::") for path in paths):
            return topic
    return None
