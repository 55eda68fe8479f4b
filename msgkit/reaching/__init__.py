"""Where a broker is and how it is reached: what every binding reads of its URL, and of the options beside it."""

from msgkit.reaching.said import Said
from msgkit.reaching.tls import Tls, explained
from msgkit.reaching.url import Address, Form, Parts

__all__ = ["Address", "Form", "Parts", "Said", "Tls", "explained"]
