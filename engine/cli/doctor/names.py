"""What the DNS says: whether it answers, whether it vouches, and what it has of our domains."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from engine.cli.doctor.finding import Finding, Patient, good, problem, warning
from engine.cli.progress import progress
from engine.cli.publishing import fetch, host_of

if TYPE_CHECKING:
    from engine.net.dns import Resolver
    from engine.presence.check import Finding as Present

_MOST = 25
"""Domains that are looked at in full."""


def look(patient: Patient) -> Iterator[Finding]:
    import trio

    names = local_domains(patient)
    with progress("Looking at the DNS", "domains") as told:
        found = trio.run(_looked, patient, names[:_MOST], told)
    yield from found
    if len(names) > _MOST:
        yield warning(
            f"{len(names) - _MOST:,} more domains were not looked at", "each takes some 20 questions",
            patient.again("domain check NAME"),
        )  # fmt: skip


def local_domains(patient: Patient) -> list[str]:
    """Those of pipeline.toml and those that were added."""
    from engine.directory import DirectoryError, Embedded

    config = patient.config
    names = list(config.domains.local)
    if config.directory is None:
        path = config.server.data / "directory"
        with suppress(DirectoryError), Embedded.open(path, names, read_only=True) as directory:
            names = [found.name for found in directory.domains()]
    return names


async def _looked(patient: Patient, names: list[str], told: Callable[[int, int], None]) -> list[Finding]:
    from engine.net.dns import Resolver

    config = patient.config
    resolver = Resolver(patient.dns or config.dns.servers, timeout=config.dns.timeout)
    answers, works = await _answers(resolver, config.server.hostname)
    if not works:
        return [answers]
    found = [answers, _validates(resolver)]
    for number, name in enumerate(names):
        told(number, len(names))
        found += await _domain(patient, resolver, name)
    return found


async def _answers(resolver: "Resolver", hostname: str) -> tuple[Finding, bool]:
    """What there is to say of the resolver, and whether it can be asked more."""
    from engine.net.dns import DnsTrouble

    began = time.perf_counter()
    outcome = await resolver.ask(hostname, "A")
    taken = (time.perf_counter() - began) * 1000
    if not isinstance(outcome, DnsTrouble):
        return good(f"the resolver answers within {taken:.0f} ms"), True
    if not isinstance(await resolver.ask(".", "NS"), DnsTrouble):
        return problem(
            f"the DNS says nothing about {hostname}: {outcome.text}",
            "the name servers of its zone do not answer, or DNSSEC is broken there: nobody finds this server",
            "ask whoever runs the zone",
        ), True
    return problem(
        f"the resolver does not answer: {outcome.text}",
        "no mail leaves, and nothing can be said of what comes",
        "look at [dns] servers, or at /etc/resolv.conf; a resolver of your own: apt install unbound",
    ), False


def _validates(resolver: "Resolver") -> Finding:
    if resolver.validates:
        return good("the resolver is on this machine: what it vouches for by DNSSEC is believed")
    return warning(
        "the resolver is not on this machine",
        "what it says of DNSSEC cannot be believed, so DANE is not looked for",
        'apt install unbound, and [dns] servers = ["127.0.0.1"]',
    )


async def _domain(patient: Patient, resolver: "Resolver", name: str) -> list[Finding]:
    from engine.presence.check import check

    host = host_of(patient.config, name, patient.addresses)
    presents = await check(resolver.ask, fetch, host)
    wrong = [_hurts(name, present) for present in presents if present.hurts]
    lacking = [each.what for each in presents if not each.hurts and each.verdict == "missing"]
    unknown = [each.what for each in presents if not each.hurts and each.verdict == "unknown"]
    found = wrong or [good(f"{name}: all that mail needs is in the DNS")]
    if lacking:
        found.append(
            warning(
                f"{name}: {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not published",
                "they are optional: safer transport, and mail programs that set themselves up",
                patient.again(f"domain check {name}"),
            )
        )
    if unknown:
        text = f"{name}: nobody could say about {', '.join(unknown)}"
        found.append(warning(text, "the DNS, or a web server, did not answer", patient.again(f"domain check {name}")))
    return found


def _hurts(name: str, present: "Present") -> Finding:
    text = f"{name}: {present.what} is {present.verdict}: {present.found}"
    do = f"publish: {present.record}" if present.record else f"should be: {present.expected}"
    if present.verdict == "unknown":
        return warning(text, "the DNS did not answer", "try again")
    return problem(text, _MEANINGS.get(present.what.partition(" ")[0], "other servers may refuse our mail"), do)


_MEANINGS = {
    "MX": "mail for the domain does not come here",
    "A,": "nobody finds the server",
    "PTR": "many servers refuse mail from an address without its name",
    "SPF": "others may take our mail for forged",
    "DKIM": "our signatures cannot be verified",
    "DMARC": "large providers refuse mail, and anybody may use the domain",
    "MTA-STS": "servers that keep to it do not deliver",
    "DANE": "servers that keep to it do not deliver",
}
"""By the first word of what is looked at."""
