"""Faults injected for real, and what must be true afterwards. A package, so that its tests share the faulty disk."""
