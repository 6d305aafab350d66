"""Scripted exchanges with any MQTT broker, each written once: for `python -m sim probe`, the tests and docs/brokers.md."""
