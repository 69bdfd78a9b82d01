"""What `postroad check` says beyond the file itself: of keys in the data folder, and of ports of this machine."""

import errno
import socket
from collections.abc import Callable, Iterator

from engine.config import Config, Problem, advice, noted
from engine.net.dns import a_labels
from engine.runtime.state import State
from engine.signing import Keyring


def warnings(config: Config) -> list[Problem]:
    """All of them, in the order of lines."""
    looks: tuple[Callable[[Config], Iterator[tuple[str, str]]], ...] = (_keys, _ports)
    found = [*advice(config), *noted(config, (one for look in looks for one in look(config)))]
    return sorted(found, key=lambda problem: problem.line)


def _keys(config: Config) -> Iterator[tuple[str, str]]:
    """Who signs is not said by the file: there are keys, or there are none. Without any, nobody wants to sign yet."""
    keyring = Keyring(config.server.data)
    keyring.look()
    if not keyring:
        return
    if not any(Keyring in stage.spec.services.values() for stage in config.stages.values()):
        yield "lane", f"{config.server.data} has keys for DKIM, but no lane has a stage that signs by them"
    for domain in config.domains.local:
        if not keyring.signers(a_labels(domain).rstrip(".")):
            yield "domains.local", f"mail of {domain} is not signed: postroad dkim new {domain}"


def _ports(config: Config) -> Iterator[tuple[str, str]]:
    """Ports that another program has, as long as no server of ours runs, which has them itself."""
    if State(config.server.data).running() is not None:
        return
    for name, (host, port) in config.listen.items():
        if port and name not in config.sockets and _is_taken(host, port):
            yield f"listen.{name}", f"another program has port {port}; `ss -ltnp` says which"


def _is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what was closed a moment ago is free
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
