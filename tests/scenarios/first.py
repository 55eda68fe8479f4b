"""The first file that a newcomer writes; `msgkit run first.py`."""

from msgkit import Application, Exchange, MessageTemplate, listener

greetings = Exchange("greetings", str)
shouts = Exchange("shouts", str)


@listener(greetings.queue("greeter"))
async def greet(name: str, template: MessageTemplate) -> None:
    await template.send(shouts, f"HELLO {name}")


@listener(shouts.queue("printer"))
def show(text: str) -> None:
    print(text)  # noqa: T201 -- what it is for


app = Application([greet, show])

if __name__ == "__main__":
    app.run()
