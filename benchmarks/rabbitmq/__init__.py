"""What a message costs on RabbitMQ: msgkit beside plain aio-pika and FastStream, doing the same work."""
