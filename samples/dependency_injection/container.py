"""How it all fits together: the container makes everything, the application included."""

from dependency_injector import containers, providers

from msgkit import Application, MessageTemplate, Settings
from samples.dependency_injection.archive import archive
from samples.dependency_injection.services import Billing, Ledger

__all__ = ["Container"]


class Container(containers.DeclarativeContainer):
    wiring_config = containers.WiringConfiguration(modules=["samples.dependency_injection.archive"])

    settings = providers.Singleton(Settings.load)
    template = providers.Singleton(MessageTemplate, settings=settings)
    ledger = providers.Singleton(Ledger)
    billing = providers.Singleton(Billing, messages=template, tax=20)
    app = providers.Singleton(Application, listeners=providers.List(billing, archive), template=template)
