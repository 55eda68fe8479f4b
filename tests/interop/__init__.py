"""What the tests with other programs share: their shop, and how a program in Java is made and driven."""

from tests.interop.driving import JavaFailed, JavaProgram
from tests.interop.inbox import Inbox

__all__ = ["Inbox", "JavaFailed", "JavaProgram"]
