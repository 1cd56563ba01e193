"""The file of every tick that was made, and the comparison of day files with it."""
