"""From an envelope to a handler's call, and from its result to a settlement."""

from msgkit.dispatch.batches import Outcome, handle_batch
from msgkit.dispatch.dispatcher import Dispatcher, check_unambiguous
from msgkit.dispatch.handler import NOTHING_SAID, Handler, Outlet
from msgkit.dispatch.isolation import isolated
from msgkit.dispatch.signature import Signature, read_signature

__all__ = [
    "NOTHING_SAID",
    "Dispatcher",
    "Handler",
    "Outcome",
    "Outlet",
    "Signature",
    "check_unambiguous",
    "handle_batch",
    "isolated",
    "read_signature",
]
