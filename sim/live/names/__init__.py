"""DNS for real: an authoritative server with dynamic update in front of the zone machine, and the server side's resolver."""
