"""The process that gets certificates by ACME."""

from typing import TYPE_CHECKING

import trio

from engine.net.connection import Connection
from engine.runtime.roles.role import Role

if TYPE_CHECKING:
    from engine.acme.challenges import Responder


class CertificatesRole(Role):
    """The process that gets certificates by ACME, and answers the authority's challenges."""

    _responder: "Responder"

    def start(self, nursery: trio.Nursery) -> None:
        # Slow to import, and not for every worker.
        from engine.acme.challenges import Responder
        from engine.acme.store import Store
        from engine.runtime.renewal import Renewal

        super().start(nursery)
        self._responder = Responder(Store(self.data))
        nursery.start_soon(Renewal(lambda: self.config).run)

    async def serve(self, listener: str, connection: Connection) -> None:
        await self._responder.serve(listener, connection)
