"""Records to numbers: pure functions from the tables of a run to ledger, recovery, cost and comparison."""
