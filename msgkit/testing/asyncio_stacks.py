"""For tests of pytest-asyncio: a stack that is entered and left on the loop of the test, whichever that is."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest_asyncio

__all__: list[str] = []

_LoopScope = Literal["function", "class", "module", "package", "session"]


def _fixture(scope: _LoopScope) -> Any:
    @pytest_asyncio.fixture(loop_scope=scope, name=f"_msgkit_stack_on_{scope}")
    async def stack() -> AsyncIterator[AsyncExitStack]:
        async with AsyncExitStack() as stack:
            yield stack

    return stack


_on_function = _fixture("function")
_on_class = _fixture("class")
_on_module = _fixture("module")
_on_package = _fixture("package")
_on_session = _fixture("session")
