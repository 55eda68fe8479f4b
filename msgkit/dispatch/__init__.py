"""From an envelope to a handler's call, and from its result to a settlement."""

from msgkit.dispatch.batches import Outcome, handle_batch
from msgkit.dispatch.dispatcher import Dispatcher, check_unambiguous
from msgkit.dispatch.handler import Handler, Outlet
from msgkit.dispatch.isolation import Isolated
from msgkit.dispatch.signature import Signature, read_signature

__all__ = [
    "Dispatcher",
    "Handler",
    "Isolated",
    "Outcome",
    "Outlet",
    "Signature",
    "check_unambiguous",
    "handle_batch",
    "read_signature",
]
