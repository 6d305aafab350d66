"""The registry and the pending messages of the server side in Redis, written before the answers that rest on them."""
