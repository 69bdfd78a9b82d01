"""The process that gets certificates by ACME."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import trio

from engine.links.request import Function, answer_requests
from engine.net.connection import Connection
from engine.runtime.places import between
from engine.runtime.roles.role import Role
from engine.runtime.services import CERTIFICATES_SERVICE

if TYPE_CHECKING:
    from engine.acme.challenges import Responder
    from engine.runtime.renewal import Renewal


class CertificatesRole(Role):
    """The process that gets certificates by ACME, and answers the authority's challenges."""

    _responder: "Responder"
    _renewal: "Renewal"

    def start(self, nursery: trio.Nursery) -> None:
        # Slow to import, and not for every worker.
        from engine.acme.challenges import Responder
        from engine.acme.store import Store
        from engine.runtime.renewal import Renewal

        super().start(nursery)
        self._responder = Responder(Store(self.data))
        self._renewal = Renewal(lambda: self.config)
        nursery.start_soon(self._renewal.run)
        nursery.start_soon(self._answer)

    async def _answer(self) -> None:
        """Say how it goes to who asks, and hurry."""
        here = self.here
        endpoint = between(here.folder, here.process.name, here.life, CERTIFICATES_SERVICE)
        answers: dict[str, Function] = {"standings": self._standings, "renew": self._hurry}
        await answer_requests(here.context, endpoint, answers)

    async def _standings(self) -> list[dict[str, Any]]:
        return [asdict(one) for one in self._renewal.standings()]

    async def _hurry(self, folder: str) -> bool:
        return self._renewal.hurry(folder)

    async def serve(self, listener: str, connection: Connection) -> None:
        await self._responder.serve(listener, connection)
