"""The simulated environment: driver, network and link of one vehicle; the only place that knows SimPy."""
