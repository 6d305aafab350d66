"""The scenario file: reading it, judging it, and what it may hold."""
