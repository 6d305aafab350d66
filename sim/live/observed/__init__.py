"""A program of the user's own as the vehicle, seen from packets and from the broker's side alone."""
