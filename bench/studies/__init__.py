"""Studies: questions with a command each. Its modules are commands; import them by name."""
