"""What becomes of a send: the client's errors as ours."""

from msgkit.envelope import Envelope
from msgkit.errors import MessagingError, SendRefused, SendUnknown, Unroutable
from msgkit.spi.absent import absent
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import NotWritten, Refused, Unfit

__all__ = ["failure", "helps_to_try"]


def failure(envelope: Envelope, error: BaseException) -> MessagingError:
    """Return what whoever sent it hears."""
    text = f"message {envelope.message_id} to {envelope.destination!r}: {error}"
    match error:
        case Refused(code=Response.TOPIC_NOT_EXIST):
            return Unroutable(absent(f"{envelope.kind.value} {envelope.destination!r}"))
        case Refused() | NotWritten() | ValueError():
            return SendRefused(text)
        case _:
            return SendUnknown(text)


def helps_to_try(error: BaseException) -> bool:
    """Tell whether nothing was stored, and may be when it is sent again."""
    match error:
        case Unfit():
            return False
        case NotWritten():
            return True
        case _:
            return isinstance(error, Refused) and error.passes
