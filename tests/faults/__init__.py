"""Faults injected for real, and the required results. A package, so that its tests share the faulty disk."""
