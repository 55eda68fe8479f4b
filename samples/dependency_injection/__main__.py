"""Two orders, through services that a container has put together."""

import asyncio

from samples.dependency_injection.container import Container
from samples.dependency_injection.services import OrderPlaced, orders


async def main() -> None:
    container = Container()
    app, ledger = container.app(), container.ledger()
    async with app:
        for order in (OrderPlaced("1", 30), OrderPlaced("2", 50)):
            await app.template.send(orders, order)
            print(await ledger.next())


if __name__ == "__main__":
    asyncio.run(main())
