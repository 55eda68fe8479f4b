"""What can go wrong on the wire. None of these leaves the binding."""

import re

__all__ = [
    "ACCESS_REFUSED",
    "NOT_FOUND",
    "ChannelClosed",
    "ConnectionLost",
    "Garbled",
    "LoginRefused",
    "OutOfReach",
    "WireError",
    "closed",
]

#: Codes of answers: that is not permitted, that is not there, and that cannot be as things are.
ACCESS_REFUSED, NOT_FOUND, _PRECONDITION_FAILED = 403, 404, 406
_FORCED = 320
#: Names may say anything.
_NAME = re.compile(r"'.*?'")
#: What is really not there. All else that is "not found" is there, and not served.
_ABSENT = re.compile(r"\bno (queue|exchange|binding)\b|not found|not exist")
#: A stream is read where there is a copy of it.
_ELSEWHERE = "replica on the local node"


class WireError(Exception):
    """The root of what the wire raises."""


class ConnectionLost(WireError):
    """There is no connection any more, or there never was one. The code is the broker's, where it gave a reason."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_our_doing(self) -> bool:
        """Did the broker end it for what was said, and not because it ends itself?"""
        return self.code not in (0, _FORCED)


class Garbled(WireError):
    """What came is not what AMQP has come there. It ends the connection, and is told as its loss."""


class _Refused(WireError):
    """The broker says why, by a code and in words."""

    def __init__(self, code: int, text: str) -> None:
        # What we found out ourselves has no code.
        super().__init__(f"{code} {text}" if code else text)
        self.code = code
        self.text = text


class LoginRefused(_Refused):
    """The broker is there and does not want us: connecting again would not help."""


class ChannelClosed(_Refused):
    """The broker closed one channel, and says why; the connection lives on."""


class OutOfReach(_Refused):
    """The broker closed one channel for what a node has that is down, or that is still starting.

    Nothing is wrong with what was asked: it is to be asked again.
    """


def closed(code: int, text: str) -> ChannelClosed | OutOfReach:
    """Return what it means that the broker closed a channel, and says so."""
    said = _NAME.sub("", text)
    if (code == NOT_FOUND and not _ABSENT.search(said)) or (code == _PRECONDITION_FAILED and _ELSEWHERE in said):
        return OutOfReach(code, text)
    return ChannelClosed(code, text)
