"""What a text says, for filling a schema from it: its labelled lines, sentences and words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

_MAX_CHARACTERS = 20_000
_EXTRACT_CHARACTERS = 160
#: Words at which the weight of a word has fallen to a half of the first one's.
_HALF_WEIGHT_WORDS = 60
_MAX_WORDS = 300
_CHARACTERS_PER_WORD = 10
_WEIGHTS = tuple(_HALF_WEIGHT_WORDS / (_HALF_WEIGHT_WORDS + place) for place in range(_MAX_WORDS))

_LABELLED_LINE = re.compile(r"^[ \t>*-]*([A-Za-z][\w -]{0,40}?)[ \t]*[:=][ \t]+(\S.*)$", re.MULTILINE)
_INTRODUCTION = re.compile(r"\A[^\n]{0,200}:[ \t]*\n+(?=\s*\S)")
_SENTENCE_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_ENDINGS = (
    (re.compile(r"(?<=\w\w)ies\Z"), "y"),
    (re.compile(r"(?<=\w\w[^s])s\Z"), ""),
    (re.compile(r"(?<=\w{4})(?:ing|ed)\Z"), ""),
)


@dataclass(frozen=True)
class SourceText:
    """
    A text, read once.

    :param text: The whole text; only its beginning is read.
    """

    text: str

    @cached_property
    def subject(self) -> str:
        """Return the text without a first line that only announces the rest."""
        text = self.text[:_MAX_CHARACTERS].strip()
        return _INTRODUCTION.sub("", text, count=1).strip() or text

    @cached_property
    def sentences(self) -> list[str]:
        """Return the sentences and lines of the subject."""
        return [part.strip() for part in _SENTENCE_END.split(self.subject) if part.strip()]

    @property
    def extract(self) -> str:
        """Return a short extract: the first sentence that is more than a label, cut at a word."""
        sentences = self.sentences or [""]
        said = (part for part in sentences if part.count(" ") > 1 and not _LABELLED_LINE.match(part))
        return shortened(next(said, sentences[0]), _EXTRACT_CHARACTERS)

    @cached_property
    def labelled(self) -> dict[str, str]:
        """Return what follows each label, as in ``Name: value``; the first of each label."""
        values: dict[str, str] = {}
        for label, value in _LABELLED_LINE.findall(self.text[:_MAX_CHARACTERS]):
            values.setdefault(_normalised(label), value.strip())
        return values

    def value_of(self, name: str) -> str | None:
        """Return what the text gives for a property called ``name``, if it has such a label."""
        return self.labelled.get(_normalised(name))

    @cached_property
    def numbers(self) -> list[float]:
        """Return the numbers in the subject."""
        return [float(number) for number in _NUMBER.findall(self.subject)]

    @cached_property
    def word_weights(self) -> dict[str, float]:
        """Return how much each stem matters: more often and earlier is more."""
        weights: dict[str, float] = {}
        words = _WORD.findall(self.subject[: _MAX_WORDS * _CHARACTERS_PER_WORD].lower())
        for weight, stem in zip(_WEIGHTS, map(stemmed, words), strict=False):
            weights[stem] = weights.get(stem, 0.0) + weight
        return weights

    def overlap(self, phrase: str) -> float:
        """Return how much of ``phrase`` the text has: the mean weight of its words."""
        stems = [stemmed(word) for word in _WORD.findall(_split_camel_case(phrase).lower())]
        if not stems:
            return 0.0
        return sum(self.word_weights.get(stem, 0.0) for stem in stems) / len(stems)


def shortened(text: str, max_characters: int) -> str:
    """Cut ``text`` to ``max_characters``, at the end of a word where there is one."""
    if len(text) <= max_characters:
        return text
    cut = text[:max_characters]
    head, space, _ = cut.rpartition(" ")
    return head if space and len(head) > max_characters // 2 else cut


@lru_cache(1 << 16)
def stemmed(word: str) -> str:
    """Return ``word`` without its plural and the commonest endings of verbs."""
    for pattern, replacement in _ENDINGS:
        word = pattern.sub(replacement, word)
    return word


def _normalised(label: str) -> str:
    return re.sub(r"[\s_-]+", "_", label.strip().lower())


def _split_camel_case(phrase: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", phrase)
