"""Every row of the table of faults, injected for real into real processes. A package: its tests share one harness."""
