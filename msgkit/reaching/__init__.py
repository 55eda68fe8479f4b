"""Where a broker is and how it is reached: what every binding reads of its URL, and how it writes there."""

from msgkit.reaching.outbox import Outbox
from msgkit.reaching.said import Said
from msgkit.reaching.tls import Tls, explained
from msgkit.reaching.url import Address, Form, Parts

__all__ = ["Address", "Form", "Outbox", "Parts", "Said", "Tls", "explained"]
