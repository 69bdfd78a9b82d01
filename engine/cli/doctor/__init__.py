"""`postroad doctor`: looks at all that a mail server stands on, and says in plain words what is wrong with it."""

import sys
from collections.abc import Iterator

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration
from engine.cli.doctor import certificates, clock, disk, limits, names, outside, ports, versions
from engine.cli.doctor.finding import Finding, Level, Look, Patient, warning
from engine.cli.doctor.life import look_at_queue, look_at_server
from engine.cli.init.answers import seen_addresses
from engine.observe.visible import visible
from engine.runtime.state import State
from engine.storage.environment import StorageError

_AREAS: dict[str, Look] = {
    "disk": disk.look,
    "ports": ports.look,
    "dns": names.look,
    "tls": certificates.look,
    "clock": clock.look,
    "limits": limits.look,
    "versions": versions.look,
    "scanners": outside.look,
    "server": look_at_server,
    "queue": look_at_queue,
}

_OUTSIDE = {"dns", "scanners"}
"""Areas that ask others."""

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(_AREAS)), help="Look at this alone; may be repeated.")
@click.option("--offline", is_flag=True, help="Ask nobody else: no DNS, no scanners.")
@click.option("--dns", metavar="HOST:PORT", help="The DNS server to ask; else, those of [dns].")
@click.option("--address", "addresses", multiple=True, metavar="IP", help="What the world sees; else, what is found.")
@click.option("--outgoing", metavar="HOST[:PORT]", default="", help="Connect to this mail server: does mail get out?")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def doctor(
    ctx: click.Context,
    *,
    only: tuple[str, ...],
    offline: bool,
    dns: str | None,
    addresses: tuple[str, ...],
    outgoing: str,
    as_json: bool,
) -> None:
    """Look at disk, ports, DNS, TLS, clock, limits, versions, scanners, the server and its queue.

    For each thing: ok, a warning or a problem, what it means, and what to do. It changes nothing, and may be run at any
    time, by root or by the server's user. Exit code 0: no problem; 1: at least one; 2: pipeline.toml has mistakes.
    """
    config = configuration(ctx)
    running = State(config.server.data).running()
    seen = addresses or seen_addresses()
    patient = Patient(config, running, (dns,) if dns else (), seen, outgoing)
    chosen = [area for area in _AREAS if area in (only or _AREAS) and not (offline and area in _OUTSIDE)]
    found: list[tuple[str, Finding]] = []
    for area in chosen:
        findings = list(_looked(area, patient))
        found += [(area, finding) for finding in findings]
        if not as_json:
            _print(area, findings)
    if as_json:
        tables.show_json([finding.told(area) for area, finding in found])
    else:
        click.echo(_summary([finding for _, finding in found]))
    sys.exit(any(finding.level is Level.PROBLEM for _, finding in found))


def _looked(area: str, patient: Patient) -> Iterator[Finding]:
    try:
        yield from _AREAS[area](patient)
    except (OSError, StorageError, click.ClickException) as error:
        yield warning(f"it could not be looked at: {error}", "nothing is known of it", "run this as root")


def _print(area: str, findings: list[Finding]) -> None:
    click.echo(click.style(area, bold=True))
    for finding in findings:
        click.echo(f"  {click.style(f'{finding.level:<8}', fg=_COLOURS[finding.level])} {visible(finding.what)}")
        if finding.level is not Level.OK:
            click.echo(visible(f"           {finding.means}"))
            for number, line in enumerate(finding.do.splitlines()):
                click.echo(visible(f"           {'→' if not number else ' '} {line}"))


def _summary(findings: list[Finding]) -> str:
    problems, warnings = (
        sum(finding.level is level for finding in findings) for level in (Level.PROBLEM, Level.WARNING)
    )
    return f"\n{tables.counted(problems, 'problem')}, {tables.counted(warnings, 'warning')}."
