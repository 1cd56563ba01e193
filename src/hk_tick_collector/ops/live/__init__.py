"""What processes tell each other: `status.json`, systemd's word, the kernel's word of a process."""
