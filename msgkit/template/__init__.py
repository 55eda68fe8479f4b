"""Sending, requesting, and taking by hand."""

from msgkit.template.handle import Handle
from msgkit.template.receiving import Receiver
from msgkit.template.sender import Pipeline, Prepared, Sender
from msgkit.template.session import Session
from msgkit.template.sync import SyncDelivery, SyncTemplate
from msgkit.template.template import MessageTemplate, payload_type

__all__ = [
    "Handle",
    "MessageTemplate",
    "Pipeline",
    "Prepared",
    "Receiver",
    "Sender",
    "Session",
    "SyncDelivery",
    "SyncTemplate",
    "payload_type",
]
