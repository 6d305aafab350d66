"""Real brokers, each started by the lab with its own folder, ports and log, waited for, and ended by its process ids."""

from sim.live.brokers.catalog import BROKERS, check_broker, preset_of, start_broker, starts_in_s
from sim.live.brokers.running import BrokerUnavailable, Login, RunningBroker

__all__ = ["BROKERS", "BrokerUnavailable", "Login", "RunningBroker", "check_broker", "preset_of", "start_broker", "starts_in_s"]
