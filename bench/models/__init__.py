"""Models of any size without training. Its modules are commands; import them by name."""
