"""Rules about what was found out of the sender: the facts of SPF, DKIM, DMARC and iprev, if there are any."""

from typing import Final

from engine.spam.rules.case import Case, Rule


def spf_fail(case: Case) -> bool:
    return case.facts.get("spf.result") == "fail"


def spf_softfail(case: Case) -> bool:
    return case.facts.get("spf.result") in {"softfail", "permerror"}


def dmarc_fail(case: Case) -> bool:
    return case.facts.get("dmarc.result") == "fail"


def dmarc_refused(case: Case) -> bool:
    """The author's domain asks that such mail be refused or kept apart."""
    return dmarc_fail(case) and case.facts.get("dmarc.policy") in {"reject", "quarantine"}


def dmarc_pass(case: Case) -> bool:
    return case.facts.get("dmarc.result") == "pass"


def nothing_proved(case: Case) -> bool:
    """Neither SPF nor a signature says anything good of anybody."""
    spf = case.facts.get("spf.result")
    return spf is not None and spf != "pass" and not case.facts.get("dkim.passed")


def no_reverse_name(case: Case) -> bool:
    return case.facts.get("iprev.result") in {"fail", "permerror"}


RULES: Final = (
    Rule("SPF_FAIL", 1.5, spf_fail),
    Rule("SPF_SOFTFAIL", 0.7, spf_softfail),
    Rule("DMARC_FAIL", 1.0, dmarc_fail),
    Rule("DMARC_REFUSED", 2.0, dmarc_refused),
    Rule("DMARC_PASS", -0.5, dmarc_pass),
    Rule("NOTHING_PROVED", 1.0, nothing_proved),
    Rule("NO_REVERSE_NAME", 1.0, no_reverse_name),
)
