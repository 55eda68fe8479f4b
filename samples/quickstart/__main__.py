"""The smallest service: somebody says a name, and a listener greets it."""

import asyncio

from msgkit import Application, Exchange, listener

names = Exchange("names", str)
greetings = Exchange("greetings", str)
printed = greetings.queue("printed")


@listener(names.queue("greeter"), send_to=greetings)
async def greet(name: str) -> str:
    return f"Hello, {name}!"


app = Application([greet], topology=[printed])


async def main() -> None:
    async with app:
        await app.template.send(names, "world")
        async with app.template.receive(printed, timeout=5) as deliveries:
            for delivery in deliveries:
                print(delivery.payload)


if __name__ == "__main__":
    asyncio.run(main())
