"""How pages and plots look, by day and by night."""

from __future__ import annotations

COLORS = """
:root{--paper:#fbfbf9;--card:#fff;--ink:#1f2733;--soft:#667080;--line:#e2e4e8;--accent:#2b6cb0;--other:#c2702c;
--good:#2f7a4d;--warn:#96690a;--bad:#b23a30}
@media(prefers-color-scheme:dark){:root{--paper:#14171c;--card:#1b1f26;--ink:#e4e7ec;--soft:#98a2b1;--line:#2e343e;
--accent:#74aee8;--other:#e0a06a;--good:#6fbf8c;--warn:#dcb25a;--bad:#ec8279}}
"""

PLOTS = """
svg.plot{display:block;width:100%;height:auto;font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg.plot text{fill:var(--soft)}
svg.plot .name{fill:var(--ink)}
svg.plot .grid{stroke:var(--line);stroke-width:1}
svg.plot .axis{stroke:var(--soft);stroke-width:1}
svg.plot .guide{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 4;fill:none}
svg.plot .curve{stroke:var(--accent);stroke-width:2;fill:none;stroke-linejoin:round}
svg.plot .dot{fill:var(--accent)}
svg.plot .faint{fill:var(--accent);fill-opacity:.35}
svg.plot .bar{fill:var(--accent)}
svg.plot .other{fill:var(--other)}
svg.plot .limit{stroke:var(--other);stroke-width:1.5;stroke-dasharray:5 3}
"""

PAGE = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 28px 72px}
h1{font-size:27px;font-weight:620;letter-spacing:-.01em;margin:0 0 4px}
h2{font-size:17px;font-weight:620;margin:44px 0 12px}
h3{font-size:14px;font-weight:600;margin:0 0 8px}
p{margin:0 0 8px}
.soft{color:var(--soft)}
.outcome{border-left:3px solid var(--tone);padding:2px 0 2px 14px;margin:18px 0 0;overflow-wrap:anywhere}
.PASS,.SUCCEEDED,.CHAMPION,.DONE{--tone:var(--good)}
.PASS_DRIFTED,.INCONCLUSIVE,.CANDIDATE,.RUNNING,.PENDING{--tone:var(--warn)}
.FAIL,.ERROR,.REFUSED,.FAILED,.REJECTED,.QUARANTINED{--tone:var(--bad)}
.REUSED,.APPROVED,.VERIFIED,.RETIRED{--tone:var(--accent)}
.tag{color:var(--tone);font-weight:600;font-size:13px;white-space:nowrap}
.tag::before{content:"";display:inline-block;width:8px;height:8px;border-radius:4px;margin-right:7px;
background:var(--tone)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:500;color:var(--soft);padding:4px 18px 6px 0;border-bottom:1px solid var(--line)}
td{padding:6px 18px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:break-word}
tr:last-child td{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{overflow-wrap:anywhere;font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(310px,1fr));gap:18px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 14px 8px}
figcaption{font-weight:600;font-size:14px;margin-bottom:2px}
figcaption span{display:block;font-weight:400;font-size:12.5px;color:var(--soft)}
.proofs{color:var(--soft);font-size:12.5px}
@media print{body{background:#fff}figure{break-inside:avoid}}
"""
