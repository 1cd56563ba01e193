"""The explanation of every log line and finding, for `logs --explain` and docs/troubleshooting.md."""
