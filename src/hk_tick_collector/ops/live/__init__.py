"""What processes tell each other: `status.json`, systemd's and the kernel's state of a process."""
