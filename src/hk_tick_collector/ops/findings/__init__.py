"""Live state and time in, findings out: what is wrong, how severe it is, which command to type. Most of it is pure.

One finding is one `FindingSpec` (spec.py), in the module of its subject, with everything that is known about it:

    code        its name in `status --json`, alerts, metrics and documents
    when        live state, time and limits → findings with their severity; None if another part detects it
    text        what is wrong: a template in English and in Traditional Chinese, with the same figures; `variants` are
                other texts of the same finding
    remedy      a command that can be pasted, and advice for a person in both languages
    meaning, do the explanation, in both languages
    alert       how long it must last before an alert, and when it is critical; or why there is no alert
    causes      the codes of findings that it causes, `caused_by` of findings that cause it: causes are shown first

Everything else is derived from the specs; there is no second list. registry.py collects the specs of all modules;
health.py and ordering.py make the lines of `status`; `ops/alerts` uses a spec's rule and text; `ops/metrics` uses its
code as a label; `ops/explanations` explains it, for `logs --explain` and docs/troubleshooting. A new finding is one
spec in the module of its subject, and its test. The data it needs is in the live state (`ops/live/status.py`), or must
first be added there through `Stats`.

    words.py      the two languages                 remedies.py        commands used by several findings
    finding.py    one finding                       refusals.py        why OpenD refuses a symbol, from its text
    spec.py       one kind of finding               market_silence.py  why no ticks are expected
    registry.py   all kinds

Subjects, in the order in which findings of equal severity are shown: opend_states, connection, writer, writer_waits,
held_days, backlog, day_files, market_data, host, backfill, service, connection_breaks, not_stored, gaps, completeness,
streaming, publish, merge, retention, alerting.
"""
