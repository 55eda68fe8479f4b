"""What can go wrong on the wire. None of these leaves the binding."""

__all__ = ["ACCESS_REFUSED", "NOT_FOUND", "ChannelClosed", "ConnectionLost", "Garbled", "LoginRefused", "WireError"]

#: Codes of answers: that is not permitted, and that is not there.
ACCESS_REFUSED, NOT_FOUND = 403, 404
_FORCED = 320


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


class LoginRefused(WireError):
    """The broker is there and does not want us: connecting again would not help."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(_said(code, text))
        self.code = code
        self.text = text


class ChannelClosed(WireError):
    """The broker closed one channel, and says why; the connection lives on."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(_said(code, text))
        self.code = code
        self.text = text

    @property
    def is_out_of_reach(self) -> bool:
        """Is what was asked for there, at a node that is down, or that is still starting?"""
        return self.code == NOT_FOUND and "inaccessible" in self.text


def _said(code: int, text: str) -> str:
    # What we found out ourselves has no code.
    return f"{code} {text}" if code else text
