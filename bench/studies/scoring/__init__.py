"""Scoring: users a second of `bst score`, beside what a user would write; and a run that is killed many times."""
