"""Kafka: where a broker is, the messages of public topics, and what publishes them."""
