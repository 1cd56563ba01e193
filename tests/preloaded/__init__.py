"""Small C libraries under a process that a test starts: each does one thing wrong, as a file tells it to."""
