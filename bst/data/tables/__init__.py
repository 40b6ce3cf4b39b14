"""Tables: users' files as named columns."""
