"""The GPU: every measurement and check that needs a CUDA device, in one command."""
