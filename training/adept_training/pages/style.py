"""CSS of the pages: light and dark, from 390 pixels upward; nothing is wider than the screen."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --dim: #5b6472; --paper: #fcfcfa; --line: #d9dce1; --wash: #f1f3f0;
        --good: #00735a; --caution: #9a6200; --bad: #b3400a; --neutral: #5b6472; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e1; --dim: #a4abb5; --paper: #17191c; --line: #3a4048; --wash: #202429;
          --good: #35c79c; --caution: #f0b840; --bad: #f58a52; --neutral: #a4abb5;
          --series-0: #b4bac2; --series-1: #56a8e8; --series-3: #35c79c; --series-4: #e39cc3; --series-5: #f58a52;
          --series-7: #d8cc2a; }
}
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 70rem; margin: 2rem auto; padding: 0 1.2rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
p { max-width: 52rem; } p.dim, figcaption { color: var(--dim); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto;
        max-width: 100%; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
         overflow-wrap: normal; vertical-align: top; }
th:first-child, td:first-child, .words { text-align: left; }
.words { white-space: normal; overflow-wrap: anywhere; min-width: 6.5rem; }
th { color: var(--dim); font-weight: 600; }
table.cards { display: table; width: 100%; }
.cards th[scope] { color: var(--ink); white-space: normal; width: 50%; }
.cards th span { display: block; color: var(--dim); font-weight: 400; }
.cards td, .cards thead th { text-align: left; white-space: normal; } .cards th, .cards td { overflow-wrap: anywhere; }
figure { display: inline-block; margin: .4rem .8rem .8rem 0; max-width: 100%; vertical-align: top; }
figure img, svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); }
figcaption { font-size: .85rem; max-width: 34rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1.4rem; }
.chart { display: flex; flex-direction: column; justify-content: space-between; margin: 0; min-width: 0; }
.chart svg { width: 100%; } .chart b { color: var(--ink); font-size: .95rem; }
.headline { font-size: 1.25rem; font-weight: 650; border-left: 5px solid var(--neutral); padding: .7rem 1rem 0;
            margin: 1.2rem 0 0; background: var(--wash); max-width: none; }
.verdict { background: var(--wash); border-left: 5px solid var(--neutral); padding: .7rem 1rem; max-width: none; }
.headline + .verdict { margin-top: 0; padding-top: .2rem; }
.good { border-color: var(--good); } .caution { border-color: var(--caution); } .bad { border-color: var(--bad); }
.headline::before { content: "\\2013\\a0"; } .headline.good::before { content: "\\2713\\a0"; color: var(--good); }
.headline.caution::before { content: "!\\a0"; color: var(--caution); }
.headline.bad::before { content: "\\2715\\a0"; color: var(--bad); }
pre { background: var(--wash); padding: .7rem 1rem; white-space: pre-wrap; }
details { margin: .6rem 0; } summary { cursor: pointer; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 .8rem; } th, td { padding: .3rem .5rem; }
  table.cards, .cards tbody, .cards tr, .cards th, .cards td { display: block; width: auto; }
  .cards thead { display: none; } .cards tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
  .cards th, .cards td { border: 0; padding: .1rem 0; } .cards th[scope] { width: auto; }
  .cards td::before { content: attr(data-head) ": "; color: var(--dim); }
}
"""
