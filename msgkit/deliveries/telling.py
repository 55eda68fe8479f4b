"""What the log says of a message that went wrong."""

import logging
from types import TracebackType

from msgkit.errors import Poison
from msgkit.spi import RawDelivery

__all__ = ["tell"]

logger = logging.getLogger("msgkit")

_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def tell(level: int, raw: RawDelivery, queue: str, what: str, error: BaseException | None) -> None:
    """Log what becomes of a message; poison in a line, since it is nobody's code that failed."""
    if isinstance(error, Poison):
        what, error = f"{what} ({error})", None
    text = "message %s on %r, attempt %d, %s"
    logger.log(level, text, raw.envelope.message_id, queue, raw.attempt, what, exc_info=_of_handler(error))


def _of_handler(error: BaseException | None) -> _ErrorInfo | None:
    """Leave out of a traceback what led to the handler: it is the same for every message."""
    if error is None:
        return None
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("msgkit."):
        trace = trace.tb_next
    return type(error), error, trace or error.__traceback__
