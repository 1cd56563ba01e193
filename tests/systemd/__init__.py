"""The one-page runbook and every fault of it, on a booted Debian 12. A package: its tests share one host.

Needs root, `debootstrap` and `systemd-nspawn`; `make test-systemd` runs it, `make test` does not.
"""
