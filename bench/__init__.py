"""`make bench`: the collector's figures beside their limits, from one run on one machine.

Input: arguments only; all files are in a temporary directory. Output: a table on the terminal, bench/report.json and
bench/report.svg. No absolute figure is fixed: read ratios, curves and the spread of the runs.

`stream` prepares every byte before the clock starts, `sender` is the process that writes them, `trial` runs one
collector with its sender; each topic has a module of its own, and `report` and `picture` show the results.
"""
