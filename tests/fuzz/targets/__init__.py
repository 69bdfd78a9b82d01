"""Every parser that octets of others reach, each as a function of octets.

A target raises nothing, whatever it is given. What is checked of each: whole and in pieces it says the same, what it
makes can be read again, and it keeps no more than it must.
"""

from collections.abc import Callable

from tests.fuzz.targets.authentication import (
    aggregate_report,
    authentication_results,
    key_record,
    policy_records,
    signatures,
)
from tests.fuzz.targets.dns import dns_answer, dns_question
from tests.fuzz.targets.imap import imap, imap_words
from tests.fuzz.targets.imap_source import imap_answers
from tests.fuzz.targets.ldap import ldap_answers, ldap_filter
from tests.fuzz.targets.local import condition, configuration, link, snapshot, units
from tests.fuzz.targets.mail import addresses, complaint, delivery_status, headers, report, unsubscribe
from tests.fuzz.targets.mime import mail_texts, mime
from tests.fuzz.targets.pop3 import pop3, pop3_body, pop3_surrogate
from tests.fuzz.targets.sieve import managesieve, sieve_letter, sieve_regex, sieve_script
from tests.fuzz.targets.smtp import login, parameters, replies, smtp_client, smtp_server, stuffing
from tests.fuzz.targets.tls import certificate, sts_policy, tls_report, tlsa_records
from tests.fuzz.targets.ways import proxy_header, scram_server, socks

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        smtp_server, login, parameters, smtp_client, replies, stuffing,
        proxy_header, socks, scram_server,
        pop3, pop3_body, pop3_surrogate,
        imap, imap_words, imap_answers,
        sieve_script, sieve_letter, sieve_regex, managesieve,
        addresses, headers, report, delivery_status, complaint, unsubscribe, mime, mail_texts,
        signatures, key_record, policy_records, authentication_results, aggregate_report,
        dns_answer, dns_question,
        ldap_answers, ldap_filter,
        sts_policy, tlsa_records, tls_report, certificate,
        link, configuration, condition, units, snapshot,
    )
}  # fmt: skip
