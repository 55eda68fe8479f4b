"""A service on a broker of one's own."""

import asyncio

from msgkit import Application, Exchange, Settings, listener
from msgkit.brokers import register_binding
from samples.shelf.binding import ShelfBinding

register_binding("shelf", ShelfBinding)

names = Exchange("names", str)
greetings = Exchange("greetings", str)
printed = greetings.queue("printed")


@listener(names.queue("greeter"), send_to=greetings)
async def greet(name: str) -> str:
    return f"Hello, {name}!"


app = Application([greet], topology=[printed], settings=Settings(url="shelf://"))


async def main() -> None:
    async with app:
        await app.template.send(names, "shelf")
        async with app.template.receive(printed, timeout=5) as deliveries:
            for delivery in deliveries:
                print(delivery.payload)


if __name__ == "__main__":
    asyncio.run(main())
