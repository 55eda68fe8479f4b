"""What can go wrong on the wire. None of these leaves the binding: `errors_of` beside it makes them ours."""

__all__ = ["ChannelClosed", "ConnectionLost", "LoginRefused", "WireError"]


class WireError(Exception):
    """The root of what the wire raises."""


class ConnectionLost(WireError):
    """There is no connection any more, or there never was one."""


class LoginRefused(WireError):
    """The broker is there and does not want us: connecting again would not help."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class ChannelClosed(WireError):
    """The broker closed one channel, and says why; the connection lives on."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
