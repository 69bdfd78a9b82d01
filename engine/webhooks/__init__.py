"""Events for others' servers: kept on disk until they are taken, posted with a signature."""

from engine.webhooks.outbox import Outbox

__all__ = ["Outbox"]
