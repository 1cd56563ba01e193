"""Synthetic ticks and OpenD's own messages as bytes, correct or deliberately wrong."""
