"""The live state as Prometheus reads it, and the small HTTP server for that. Starts at server.py."""
