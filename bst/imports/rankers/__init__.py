"""Rankers that other libraries trained: their neutral description, its fold into a run, and the account of it."""
