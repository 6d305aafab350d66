"""The real environment: the same machines on sockets, in real time, against real brokers or our own."""
