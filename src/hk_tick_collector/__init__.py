"""Collects every Hong Kong trade tick that Futu OpenD pushes, exactly once, into one SQLite file per trading day."""

__version__ = "0.1.0"
