"""The style sheet of a review: light, dark and print, in Okabe and Ito's colors."""

__all__ = ["STYLE"]

STYLE = """\
:root { color-scheme: light dark; --ink: #1f2328; --faint: #59616b; --line: #d5d9de; --page: #fff;
  --soft: #f5f6f8; --lag: #0072b2; --stall: #d55e00; --good: #00795a }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --faint: #a3aab2; --line: #3a4046; --page: #15181b; --soft: #1e2226;
    --lag: #56b4e9; --stall: #f0792a; --good: #1fb98c }
}
body { margin: 2.5rem auto; max-width: 62rem; padding: 0 1.5rem; color: var(--ink);
  background: var(--page); font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.4rem; font-weight: 600; overflow-wrap: anywhere }
h4 { font-size: .95rem; font-weight: 600; margin: 1.2rem 0 .3rem; overflow-wrap: anywhere }
h3 { font-size: 1rem; font-weight: 600; margin: 1.4rem 0 .3rem; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2.2rem 0 .6rem; overflow-wrap: anywhere }
code, pre { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
pre { margin: .4rem 0; padding: .5rem .8rem; background: var(--soft); white-space: pre-wrap;
  overflow-wrap: anywhere }
.headline { border-left: 4px solid var(--good); padding: .2rem .8rem; font-size: 1.05rem }
.headline.bad { border-color: var(--stall) }
.note, figcaption, caption, dt { color: var(--faint) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0 }
dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line) }
td code { display: inline-block; min-width: 13rem; overflow-wrap: anywhere }
.wide { overflow-x: auto }
p { overflow-wrap: anywhere }
th { font-weight: 600; color: var(--faint) }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .3rem 0 }
.stack td { font-size: 13px }
.blamed td { background: color-mix(in srgb, var(--stall) 14%, transparent); font-weight: 600 }
a { color: inherit }
.figures { width: auto; min-width: 55% }
.figures td, .figures thead th { text-align: right; padding-left: 1.4rem;
  font-variant-numeric: tabular-nums; vertical-align: top }
.figures td, .figures th[scope=row] { white-space: nowrap }
.figures thead th { vertical-align: bottom; max-width: 12rem; overflow-wrap: anywhere }
.figures th[scope=row], .figures thead th:first-child { text-align: left; padding-left: 0 }
.figures .group { font-weight: 400; padding-left: 1.2rem !important }
.figures small, .faint { color: var(--faint) }
.figures small { display: block; font-size: 12px }
.figures .apart { color: var(--ink); font-weight: 600 }
.command span { display: inline-block; max-width: 100% }
ol.chain { margin: .3rem 0; padding-left: 1.6rem }
section.finding p { margin: .3rem 0 }
figure { margin: 1rem 0 0 }
svg { width: 100%; height: auto; display: block }
svg text { fill: var(--faint); font: 11px system-ui, sans-serif; white-space: pre }
svg .strong { fill: var(--ink); font-weight: 600 }
svg .grid { stroke: var(--line); stroke-dasharray: 1 3; fill: none }
svg .threshold { stroke: var(--faint); stroke-dasharray: 5 3; fill: none }
svg .lag { stroke: var(--lag); stroke-width: 1.4; fill: none; stroke-linejoin: round }
svg .stall path { fill: var(--stall) }
svg .stall .block { fill-opacity: .28 }
@media print {
  :root { --ink: #000; --faint: #444; --line: #bbb; --page: #fff; --soft: #f4f4f4; --lag: #0072b2;
    --stall: #d55e00; --good: #00795a }
  body { margin: 0; max-width: none; font-size: 10.5pt }
  section, figure, tr, pre { break-inside: avoid }
  h2, h3, h4, .note:has(+ pre) { break-after: avoid }
  .figures td { padding-left: .8rem }
  .wide { overflow: visible }
  svg, .blamed td, pre { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""
