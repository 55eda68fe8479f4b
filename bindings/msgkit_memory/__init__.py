"""`memory://`: a broker embedded in the process. It keeps every promise but survival."""

from msgkit_memory.binding import MemoryBinding
from msgkit_memory.faults import Faults
from msgkit_memory.server import Broker

__all__ = ["Broker", "Faults", "MemoryBinding"]
