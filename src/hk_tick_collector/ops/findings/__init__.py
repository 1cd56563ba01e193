"""Live state and time in, findings out: what is wrong, how grave it is, what to type. Most of it is pure.

One finding is one `FindingSpec` (spec.py), in the module of its subject, with all that is known of it:

    code        names it in `status --json`, alerts, metrics and documents
    when        live state, time and limits → findings with their severity; None where another part finds it
    text        what is wrong: a template in English and in Traditional Chinese, with the same figures; a finding that
                is told in several ways has `variants`
    remedy      what to type, a command that can be pasted; and advice for a person, in both languages
    meaning, do the explanation, in both languages
    alert       how long it is seen before it is alerted, from when on it is critical; or why it is not alerted
    causes      the codes of what follows from it, `caused_by` of what it follows from: which one is read first

Everything else is derived, and there is no second list: registry.py collects the specs of the subjects' modules;
health.py and ordering.py make the line and the lines of `status`; `ops/alerts` asks a spec for its rule and sends its
text; `ops/metrics` has its code as a label; `ops/explanations` explains it, for `logs --explain` and for
docs/troubleshooting.md.
A new finding is one spec in the module of its subject, and its test. What it needs to know is in the live state
(`ops/live/status.py`) or goes there first, through `Stats`.

    words.py      the two languages                 remedies.py        commands that several findings name
    finding.py    what is found                     refusals.py        why OpenD refuses a symbol, by its words
    spec.py       what is known of a kind           market_silence.py  why no tick is to be expected
    registry.py   all of them

Subjects, in the order in which equals are shown: opend_states, connection, writer, writer_waits, held_days,
backlog, day_files, market_data, host, backfill, service, stability, not_stored, gaps, completeness, retention.
"""
