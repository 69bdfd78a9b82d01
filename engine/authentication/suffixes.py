"""The public suffix list: names under which anyone may register, such as "com" and "co.uk" (publicsuffix.org)."""

from collections.abc import Iterable, Iterator
from functools import cache

from publicsuffixlist import PSLFILE, PublicSuffixList


def is_public(domain: str) -> bool:
    """Whether a domain, in A-labels, is a public suffix."""
    return _suffixes().publicsuffix(domain) == domain


def registered(domain: str) -> str:
    """The domain that its owner registered, one label below a public suffix; a suffix stands for itself."""
    return _suffixes().privatesuffix(domain) or domain


@cache
def _suffixes() -> PublicSuffixList:
    with open(PSLFILE, encoding="utf-8") as lines:
        return PublicSuffixList(_in_a_labels(lines), accept_encoded_idn=False)


def _in_a_labels(lines: Iterable[str]) -> Iterator[str]:
    """Rules as names are asked for. The library would encode the ASCII ones too, which takes ten times as long."""
    for line in lines:
        if line.isascii():
            yield line
        elif not line.startswith("//"):
            yield line.strip().encode("idna").decode("ascii")
