"""What a message costs on Kafka: msgkit beside plain aiokafka, FastStream and confluent-kafka, doing the same work."""
