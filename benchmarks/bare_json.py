"""What nobody can do without: the payload to JSON, and the JSON to a payload."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.work import ORDER, OrderPlaced, Side

__all__ = ["bare_json"]


@asynccontextmanager
async def bare_json() -> AsyncGenerator[Side]:
    """Call pydantic-core as directly as msgkit does."""
    write = OrderPlaced.__pydantic_serializer__.to_json
    read = OrderPlaced.__pydantic_validator__.validate_json

    async def run(messages: int) -> None:
        for _ in range(messages):
            read(write(ORDER))

    yield Side("bare_json", run)
