"""The chaos matrix of several hosts: `make soak ARGS=--cluster`, and a cut of it in the ordinary suite."""
