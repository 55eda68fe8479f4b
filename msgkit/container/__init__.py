"""Consuming: credits, lanes, workers, and how each delivery ends."""

from msgkit.container.handling import HandlingObserver
from msgkit.container.options import ConsumerOptions, consumer_options
from msgkit.container.runner import QueueRunner

__all__ = ["ConsumerOptions", "HandlingObserver", "QueueRunner", "consumer_options"]
