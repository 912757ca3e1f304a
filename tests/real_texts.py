"""Real texts that every installation has: the descriptions of its packages."""

import importlib.metadata
from collections.abc import Iterator


def pieces_of_texts(count: int) -> Iterator[str]:
    """Cut ``count`` pieces of 100 to 3,100 characters out of the texts, always the same."""
    metadata = (each.metadata for each in importlib.metadata.distributions())
    found = (each.get("Description") or each.get_payload() for each in metadata)
    texts = sorted(text for text in found if isinstance(text, str) and len(text) > 200)
    for i in range(count):
        text = texts[i % len(texts)]
        start = i * 7919 % len(text)
        yield text[start : start + 100 + i * 104_729 % 3_000].strip() or "-"
