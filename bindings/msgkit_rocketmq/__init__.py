"""RocketMQ for msgkit: `MSGKIT_URL=rocketmq://host:9876`."""

from msgkit_rocketmq.binding import RocketBinding
from msgkit_rocketmq.options import Rocket, RocketQueue, RocketTopic

__all__ = ["Rocket", "RocketBinding", "RocketQueue", "RocketTopic"]
