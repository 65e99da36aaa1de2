"""The daemon: the wiring of a replay on bars that come from Kafka, exactly once."""
