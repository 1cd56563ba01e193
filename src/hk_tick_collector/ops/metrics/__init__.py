"""The live state for Prometheus, and the small HTTP server for it. Start reading at server.py."""
