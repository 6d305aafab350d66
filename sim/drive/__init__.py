"""What the vehicle meets on the road: position, radio, handovers, addresses, logs, as one LinkTimeline."""
