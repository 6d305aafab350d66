"""The server side of a drive: balancer, nodes, session store, and what happens to them, whatever is sent."""
