"""Pure protocol machines, each opening with its standard's clauses."""
