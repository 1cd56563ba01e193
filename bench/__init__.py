"""`make bench`: what the collector does beside what it could do at most, both from one run on one machine.

Enters: nothing but arguments; everything lives in a temporary directory. Leaves: a table on the terminal,
bench/report.json and bench/report.svg. It pins no absolute figure: read ratios, curves and the spread of the runs.

`stream` prepares every byte before a clock runs, `sender` is the process that writes them, `trial` is one collector at
work with its sender; each topic has a module of its own, and `report` and `picture` show what they found.
"""
