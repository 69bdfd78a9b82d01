"""The filters that are compared."""

from bench.spam.filters.base import Filter
from bench.spam.filters.bogofilter import Bogofilter
from bench.spam.filters.postroad import Bayes, Postroad, Rules
from bench.spam.filters.rspamd import Rspamd, RspamdRules
from bench.spam.filters.spamassassin import SpamAssassin, SpamAssassinRules

FILTERS: tuple[type[Filter], ...] = (
    Postroad,
    Bayes,
    Bogofilter,
    SpamAssassin,
    Rspamd,
    Rules,
    SpamAssassinRules,
    RspamdRules,
)

__all__ = ["FILTERS", "Filter"]
