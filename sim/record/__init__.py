"""The vocabulary of records, the closed list of causes, and the writers and readers of a run's files."""
