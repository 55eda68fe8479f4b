"""A shop at work, told as a story that checks itself."""

import asyncio
import logging
from textwrap import fill, indent
from urllib.parse import urlsplit

from msgkit import Application, MessageTemplate, Settings
from msgkit.errors import RemoteError
from samples.orders.bank import Bank
from samples.orders.journal import Journal, Line
from samples.orders.messages import OrderPlaced, Quote, QuoteRequest
from samples.orders.services import Billing, Mail, Quotes, Stock
from samples.orders.topology import orders, quotes

SERVICES = ["billing", "stock", "mail"]


async def main() -> None:
    settings = Settings.load()
    bank, journal = Bank(), Journal()
    app = Application([Billing(bank, journal), Stock(journal), Mail(journal), Quotes()], settings=settings)
    prologue(settings)
    async with app:
        await a_question_and_its_answer(app.template)
        await one_order_and_three_who_react(app.template, journal)
        await a_bank_out_of_reach(app.template, journal, bank)
        await a_card_that_is_declined(app.template, journal)
    expect(journal.rest, [])
    say("That was all of it: every outcome above was checked, and nothing else happened.")


def prologue(settings: Settings) -> None:
    scheme = urlsplit(settings.url).scheme
    title("A shop")
    say(
        "Orders are sent to the exchange 'orders'. Three queues take from it: 'billing' takes all, "
        "in order for each customer; 'stock' takes those from Europe; 'mail' takes all. "
        f"The broker is {scheme}://. It is chosen by MSGKIT_URL, and no line of the shop knows it."
    )


async def a_question_and_its_answer(template: MessageTemplate) -> None:
    title("1. A question and its answer")
    say("Somebody asks what two lamps cost. The question waits in the queue 'quotes'.")
    answer = await template.request(quotes, QuoteRequest("lamp", 2), Quote, timeout=10)
    tell([Line("quotes", f"two lamps are {answer.price}")])
    expect(answer, Quote(40))

    say("What cannot be answered is refused, and who asked is told why, at once.")
    refusal = ""
    try:
        await template.request(quotes, QuoteRequest("piano", 1), Quote, timeout=10)
    except RemoteError as error:
        refusal = error.reason
    tell([Line("quotes", refusal)])
    expect(refusal, "there is no piano in the shop")


async def one_order_and_three_who_react(template: MessageTemplate, journal: Journal) -> None:
    title("2. One order, and three who react")
    say("Customer 17, in Europe, places order 1. It is sent once; each queue gets a copy.")
    await template.send(orders, OrderPlaced("1", "17", "eu", 40))
    tell(
        expect_told(
            await journal.next(3),
            billing=["order 1: customer 17 paid 40"],
            stock=["order 1: reserved"],
            mail=["order 1: thanked customer 17"],
        )
    )

    say("Customer 18, in Asia, places order 2. The stock is not asked: its queue takes 'placed.eu'.")
    await template.send(orders, OrderPlaced("2", "18", "asia", 150))
    tell(
        expect_told(
            await journal.next(2),
            billing=["order 2: customer 18 paid 150"],
            mail=["order 2: thanked customer 18"],
        )
    )


async def a_bank_out_of_reach(template: MessageTemplate, journal: Journal, bank: Bank) -> None:
    title("3. A bank out of reach")
    say(
        "The bank misses the next two calls about customer 17, who places orders 3 and 4. Then "
        "customer 18 places order 5. Order 3 is tried again after a pause. Order 4 waits behind "
        "it, since it is the same customer's. Order 5 waits for nobody."
    )
    bank.miss_calls(2)
    await template.send_many(
        orders,
        [
            OrderPlaced("3", "17", "asia", 20),
            OrderPlaced("4", "17", "asia", 60),
            OrderPlaced("5", "18", "asia", 80),
        ],
    )
    lines = [line for line in await journal.next(8) if line.who == "billing"]
    tell(lines)
    expect(
        [line.what for line in lines if "paid" not in line.what],
        [f"order 3: the bank is out of reach, try {number}" for number in (1, 2)],
    )
    expect(
        [line.what for line in lines if "paid" in line.what],
        [
            "order 5: customer 18 paid 80",
            "order 3: customer 17 paid 20",
            "order 4: customer 17 paid 60",
        ],
    )


async def a_card_that_is_declined(template: MessageTemplate, journal: Journal) -> None:
    title("4. A card that is declined")
    say(
        "Customer 19 has no cover. Trying again would not help, so the order goes to the queue "
        "'billing.dlq' at once: the same bytes, with the reason beside them. The other services "
        "have copies of their own and go on."
    )
    await template.send(orders, OrderPlaced("6", "19", "eu", 900))
    letter = '{"id":"6","customer":"19","region":"eu","total":900}'
    tell(
        expect_told(
            await journal.next(3),
            billing=[f"dead letter: CardDeclined, {letter}"],
            stock=["order 6: reserved"],
            mail=["order 6: thanked customer 19"],
        )
    )


def title(text: str) -> None:
    print(f"{text}\n{'-' * len(text)}\n")


def say(text: str) -> None:
    print(f"{fill(text, 88)}\n")


def tell(lines: list[Line]) -> None:
    told = "\n".join(f"{line.who:8} {line.what}" for line in lines)
    print(f"{indent(told, '    ')}\n")


def expect_told(lines: list[Line], **told: list[str]) -> list[Line]:
    """Return the lines service by service, since these work side by side."""
    by_service = sorted(lines, key=lambda line: SERVICES.index(line.who))
    expect(by_service, [Line(who, what) for who in SERVICES for what in told.get(who, [])])
    return by_service


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise SystemExit(f"The story went wrong.\nexpected: {wanted}\nfound:    {found}")


if __name__ == "__main__":
    # Each retry and dead letter is logged; here the story tells of them.
    logging.getLogger("msgkit").setLevel(logging.CRITICAL)
    asyncio.run(main())
