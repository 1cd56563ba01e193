"""The style of the page: light and dark by the reader's system, on a screen, a telephone and paper."""

from __future__ import annotations

from typing import Final

# The colours of the verdicts can be told apart with any kind of colour blindness; each also has a mark or a word.
STYLE: Final = """
:root{--bg:#fbfbfa;--card:#fff;--ink:#1d2327;--soft:#5b6670;--line:#dfe3e6;--grid:#e8ebed;--lunch:#f1f3f4;
--ok:#2a7f62;--warning:#d99a1c;--critical:#b3282d;--unknown:#76808a;--on:#fff;--blue:#2f6fb0;--pale:#a9c6e4;--stored:#c9d6df}
@media (prefers-color-scheme:dark){:root{--bg:#14181b;--card:#1c2226;--ink:#e4e8ea;--soft:#9aa6af;--line:#323b42;
--grid:#2b343a;--lunch:#252d33;--ok:#2f8f6f;--warning:#c08a1e;--critical:#cf4046;--unknown:#6b757e;--blue:#6ba6e0;
--pale:#4d7aa8;--stored:#3d4a54}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,"Noto Sans HK","PingFang HK",
"Microsoft JhengHei","Noto Sans CJK HK","Noto Sans CJK TC",sans-serif}
main{max-width:1060px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:26px;margin:0}h2{font-size:19px;margin:32px 0 10px}header p{margin:2px 0 20px}
.soft{color:var(--soft)}
.cards{display:flex;flex-wrap:wrap;gap:10px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px 14px;flex:1 1 auto}
.card b{display:block;font-size:18px;font-variant-numeric:tabular-nums;white-space:nowrap}.card span{font-size:13px}
.months{display:flex;flex-wrap:wrap;gap:18px 26px}
figure{margin:22px 0 0;overflow-x:auto}figure.month{margin:0}
figcaption{font-weight:600;margin-bottom:6px;font-size:14px}
.keys{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;margin:12px 0 0}
.key{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.badge{display:inline-block;border-radius:4px;padding:0 7px;font-size:12px;font-weight:600;color:var(--on)}
.badge.ok,.key.ok{background:var(--ok)}.badge.warning,.key.warning{background:var(--warning)}
.badge.critical,.key.critical{background:var(--critical)}.badge.unknown,.key.unknown{background:var(--unknown)}
.badge.warning{color:#1d1500}.key.none{border:1px dashed var(--unknown)}
.findings{padding-left:20px}.findings li{margin:4px 0}
code{font:13px ui-monospace,"DejaVu Sans Mono",monospace;background:var(--lunch);padding:1px 5px;border-radius:4px;
overflow-wrap:anywhere}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;overflow-wrap:anywhere}
.figures th{white-space:nowrap;color:var(--soft);font-weight:500}.figures{width:100%}
.days{width:100%}.days th,.days td{white-space:nowrap}.days td[colspan],.days .why{white-space:normal}
.days .why{min-width:15em}.days th,.days td{padding:3px 7px;font-size:13px}
.days thead th:nth-child(n+4):nth-last-child(n+2){text-align:right}
th[scope=col]{white-space:nowrap}
thead th{color:var(--soft);font-weight:500}.right{text-align:right}.scroll{overflow-x:auto}
svg{display:block;font-size:12px;max-width:100%}svg.wide{width:100%;min-width:640px;height:auto;background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:10px 0}
svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}svg .faint{fill:var(--soft);opacity:.6}
svg .mid{text-anchor:middle}svg .end{text-anchor:end}svg .on{fill:var(--on)}svg .mark{font-size:10px;font-weight:700}
rect.ok{fill:var(--ok)}rect.warning{fill:var(--warning)}rect.critical{fill:var(--critical)}rect.unknown{fill:var(--unknown)}
rect.none{fill:none;stroke:var(--unknown);stroke-dasharray:2 2;opacity:.6}rect.chosen{stroke:var(--ink);stroke-width:2}
.connected{fill:var(--ok)}.grid{stroke:var(--grid)}.lunch{fill:var(--lunch)}.gap{fill:var(--critical)}.over{opacity:.65}.away{fill:var(--warning)}
.healed{fill:none;stroke:var(--blue)}.area{fill:var(--blue)}.stored{fill:var(--stored)}
.half{fill:none;stroke:var(--blue);stroke-width:1.6}.latest{fill:none;stroke:var(--pale);stroke-width:1.2}
footer{margin-top:36px;font-size:13px;border-top:1px solid var(--line);padding-top:12px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0}dt{font-weight:600}dd{margin:0}
@media print{body{background:#fff}figure,section{break-inside:avoid}}
"""
