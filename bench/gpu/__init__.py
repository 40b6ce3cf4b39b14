"""The GPU: all that a machine with a CUDA device is asked, in one command."""
