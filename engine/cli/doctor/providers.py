"""Whether the providers at which people sign in answer, and are what pipeline.toml says."""

from collections.abc import Iterator

import trio

from engine.cli.doctor.finding import Finding, Patient, good, problem
from engine.directory import Unavailable


def look(patient: Patient) -> Iterator[Finding]:
    from engine.login import RelyingParty  # slow to import, and there may be none

    for name, settings in patient.config.web.oidc.items():
        party = RelyingParty(name, settings)
        try:
            trio.run(party.check)
        except Unavailable as error:
            yield problem(
                f"[web.oidc.{name}]: {error}",
                "nobody can sign in to the pages by it",
                "write `issuer` just as the provider itself says it, with or without a slash at the end",
            )
        else:
            yield good(f"[web.oidc.{name}]: {settings.issuer} answers")
