"""Is a day usable? Day files and archived books → facts → a verdict → lines, JSON, a page with pictures.

Enters: the paths of day files and of the archive. Leaves: for each day `DayFacts`, and `Judged`: severity, standing and
findings. Nothing is changed and no request is sent. Start reading at verdict.py, which has every rule.

    places.py    which days there are, and where
    facts.py     one day as plain values; outages.py  time without OpenD; scan.py  ticks by minute and their delay
    verdict.py   the rules, in both languages
    overall.py   the sum over days
    page.py      the page of `--html`; pictures.py draws, svg.py has the shapes, page_file.py writes
"""
