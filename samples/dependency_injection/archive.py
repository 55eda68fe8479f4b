"""A listener that is a plain function, and has its dependency injected by a marker."""

from typing import Annotated

from dependency_injector.wiring import Provide, inject

from msgkit import listener
from samples.dependency_injection.services import Ledger, invoices

__all__ = ["archive", "archived"]

archived = invoices.queue("archive", ordered=True)


@listener(archived)
@inject
async def archive(invoice: str, ledger: Annotated[Ledger, Provide["ledger"]]) -> None:
    ledger.enter(invoice)
