"""The closed list of causes: why a message that was created was not delivered.

The cause of a lost message is that of the record that removed its last copy. A loss without a cause from this list is a
defect of the model (exit code 3); live, `unattributed` is counted and shown.
"""

from __future__ import annotations

CAUSES: dict[str, str] = {
    "queue_full": "the broker's session queue or the server's message store was full",
    "session_expired": "the MQTT session expired with the message in it",
    "clean_session_discarded": "a connection with clean session discarded the session with the message in it",
    "qos0_dead_transport": "sent once on a transport whose path was dead: with QoS 0, or by a broker that does not send it again",
    "qos0_offline": "QoS 0 and nobody was connected",
    "message_expired": "its message expiry interval passed before it could be sent",
    "no_subscription": "no session was subscribed to its topic when it was published",
    "payload_too_large": "it exceeds the broker's limit on packets",
    "broker_restart": "the broker restarted and had not saved it",
    "store_failover": "the session store failed over and had not replicated it",
    "stale_address": "the server connected to an address that was the vehicle's no more",
    "wrong_peer": "the server connected to an address that was another vehicle's by then",
    "unreachable": "the server could not reach the vehicle's address",
    "outbox_full": "the vehicle's local queue was full",
    "publisher_gave_up": "the publisher had used up its attempts",
    "request_timeout": "the request was withdrawn after its timeout",
    "poll_response_lost": "removed from the store when sent, and the poll's response was lost",
    "vehicle_restart": "the vehicle restarted and had not saved it",
}

UNATTRIBUTED = "unattributed"

KINDS = ("ota", "diagnostics", "telemetry", "probe")

#: Live, of a program that is seen from its packets alone; not among the purposes that others can have.
UNKNOWN_PURPOSE = "unknown"

#: What bytes are spent on, for the cost table. IP bytes, both directions.
PURPOSES: dict[str, str] = {
    "payload": "messages and their acknowledgements, on the air for the first time, in vain or not",
    "repeated": "messages sent again: payload that had been on the air before in that direction, without headers",
    "handshake": "TCP and TLS handshakes, CONNECT, SUBSCRIBE and their answers, DNS",
    "keep_alive": "MQTT PINGREQ and PINGRESP",
    "poll": "HTTPS polls and their answers, without the messages in them",
    "heartbeat": "heartbeats and their answers",
    "probe": "the lab's own reachability probes",
}
