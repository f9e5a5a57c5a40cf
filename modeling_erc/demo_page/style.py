"""Theme, style sheet and script of the page: system fonts, no external files, gradio's light and dark colours."""

from pathlib import Path

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Returns the theme: the fonts of the visitor's system, and text with enough contrast."""
    base = gr.themes.Base(neutral_hue=gr.themes.colors.slate, font=SANS, font_mono=MONO)
    strong, stronger = "*primary_600", "*primary_700"
    return base.set(
        body_text_color_subdued="#566476",
        body_text_color_subdued_dark="#a9b4c2",
        button_primary_background_fill=strong,
        button_primary_background_fill_dark=strong,
        button_primary_background_fill_hover=stronger,
        button_primary_background_fill_hover_dark=stronger,
    )


HEAD = f"<script>{Path(__file__).with_name('page.js').read_text(encoding='utf-8')}</script>"

CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
.erc-view { font-size: .925rem; line-height: 1.45; color: var(--body-text-color);
  --faint: var(--body-text-color-subdued); --gutter: 2.7rem; }
.erc-view [hidden] { display: none !important; }
.gradio-container :focus-visible { outline: 3px solid #2f6fc4 !important; outline-offset: 2px !important; }
/* Each line of the text box has the direction of its script. */
#erc-script textarea { unicode-bidi: plaintext; text-align: start; }
.erc-view p, .erc-view ul, .erc-view ol { list-style: none; margin: 0; padding: 0; }
.erc-view .html-container { padding: 0 !important; }
#erc-results, #erc-table { background: var(--block-background-fill);
  border: 1px solid var(--block-border-color) !important; border-radius: var(--block-radius) !important;
  padding: .9rem 1rem !important; }
.erc-title h1 { font-size: 1.6rem; font-weight: 650; letter-spacing: -.01em; margin: 0; }
.erc-title + .erc-notes { margin-top: .7rem; }
.erc-title p { margin-top: .25rem; color: var(--faint); max-width: 46rem; }
.erc-hint, .erc-summary { color: var(--faint); margin-bottom: .7rem !important; }
.erc-message, .erc-notes, .erc-change { border-radius: 8px; padding: .55rem .85rem !important;
  margin-bottom: .8rem !important; border-left: 4px solid var(--edge); }
.erc-message { background: #fdeceb; color: #7d1a1a; --edge: #cf3036; }
.erc-notes { background: #fff6e0; color: #5f4300; --edge: #d99a00; }
.erc-change { background: #e8eef6; color: #1b3149; --edge: #2f6fc4; }

.erc-legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin-bottom: .8rem !important; }
.erc-legend li { display: flex; align-items: center; gap: .4rem; }
.erc-legend i, .erc-emotion > i { width: .8rem; height: .8rem; border-radius: 3px; display: inline-block; flex: none; }
.erc-ribbon { position: relative; height: 26px; border-radius: 8px; overflow: hidden; background: #e0e5ec; }
.erc-ribbon a { position: absolute; top: 0; bottom: 0; min-width: 2px; box-shadow: inset -1px 0 #fff; }
.erc-ends { display: flex; justify-content: space-between; font-size: .78rem; color: var(--faint);
  font-variant-numeric: tabular-nums; }

.erc-charts { position: relative; }
.erc-view .erc-panel { display: grid; grid-template-columns: var(--gutter) 1fr; margin: 0 0 .7rem; }
.erc-panel figcaption { grid-column: 2; font-size: .82rem; color: var(--faint); margin-bottom: .35rem; }
.erc-panel figcaption b { font-weight: 650; color: var(--body-text-color); }
.erc-panel svg, .erc-scale { width: 100%; height: 6.5rem; display: block; overflow: visible; }
.erc-scale { position: relative; font-size: .72rem; line-height: 1; color: var(--faint);
  font-variant-numeric: tabular-nums; }
.erc-scale span { position: absolute; right: .6rem; transform: translateY(50%); }
.erc-panel path { fill: none; stroke-linecap: round; vector-effect: non-scaling-stroke; }
path.erc-grid { stroke: var(--border-color-primary); }
path.erc-line { stroke: var(--faint); }
path.erc-before { stroke: var(--body-text-color); stroke-width: 1.5px; stroke-dasharray: 2 4; }
path.erc-voice { stroke: currentcolor; stroke-width: 5px; }
path.erc-band { fill: currentcolor; stroke: currentcolor; stroke-width: .6px; }
/* The same speakers' colours are dark lines on the light page, and light lines on the dark one. */
.erc-voice { color: color-mix(in srgb, var(--colour) 75%, black); }
.erc-legend i.erc-voice { background: currentcolor; }
.erc-legend i.erc-before { width: 1.4rem; height: 0; border-top: 2px dotted; border-radius: 0; }
.erc-spots { position: absolute; inset: 0 0 0 var(--gutter); }
.erc-spots a { position: absolute; top: 0; bottom: 0; min-width: 2px; }
.erc-spots a:hover { background: color-mix(in srgb, var(--body-text-color) 10%, transparent); }
.erc-charts + .erc-ends, .erc-ribbon:has(~ .erc-charts) { margin-left: var(--gutter) !important; }
.erc-ribbon:has(~ .erc-charts) { margin-bottom: .8rem; }
.erc-view .erc-ends:has(~ .erc-charts) { display: none; }

.erc-tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.8rem, 1fr)); gap: .7rem .4rem;
  margin: .7rem 0 0 !important; }
.erc-tiles a { display: block; color: inherit; text-decoration: none; border-radius: 9px; }
.erc-who { display: block; font-size: .78rem; color: var(--faint); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.erc-block { display: flex; flex-direction: column; padding: .4rem .5rem; border-radius: 9px; margin-top: .15rem;
  font-size: .82rem; line-height: 1.25; overflow: hidden; border-left: .6rem solid var(--colour);
  background: color-mix(in srgb, var(--colour) 18%, transparent); }
.erc-block b { font-weight: 650; text-overflow: ellipsis; overflow: hidden; }
.erc-block.erc-none { --colour: var(--border-color-primary); }
.erc-values { display: block; padding: .3rem .5rem; margin-top: .25rem; border-radius: 9px; font-size: .82rem;
  border: 1px solid var(--border-color-primary); }
.erc-values span { display: flex; flex-wrap: wrap; column-gap: .4rem; font-variant-numeric: tabular-nums; }
.erc-values bdi, .erc-several bdi { overflow-wrap: anywhere; }
.erc-values b { margin-left: auto; font-weight: 650; }
.erc-several { display: block; border-radius: 9px; }
.erc-several .erc-block { flex-flow: row wrap; justify-content: space-between; padding: .2rem .5rem; }
.erc-changed > .erc-block, .erc-changed .erc-several, .erc-changed .erc-values { outline-offset: 2px;
  outline: 2px dashed var(--body-text-color); }
.erc-was { display: block; font-size: .78rem; margin-top: .3rem; font-style: italic; }

.erc-scroll { overflow-x: auto; }
.erc-table { width: 100%; border-collapse: collapse; font-size: .875rem; }
.erc-table caption { text-align: left; font-weight: 600; padding: 0 0 .4rem; }
.erc-table th, .erc-table td { border-bottom: 1px solid var(--border-color-primary); padding: .5rem .45rem;
  text-align: left; vertical-align: top; font-weight: 400; }
.erc-table thead th { font-size: .78rem; color: var(--faint); vertical-align: bottom; }
.erc-table tbody tr { scroll-margin-top: 1rem; }
.erc-table tr:focus { box-shadow: inset 4px 0 #2f6fc4; }
#erc-player { width: 100%; max-height: 11rem; margin-bottom: .7rem; position: sticky; top: .5rem; z-index: 2;
  border-radius: 8px; }
video#erc-player { background: #000; }
.erc-view .erc-play { width: 1.7rem; height: 1.7rem; margin: .1rem .4rem .1rem .2rem; border-radius: 50%;
  border: 1px solid var(--border-color-primary); color: inherit; background: var(--block-background-fill);
  font-size: .7rem; cursor: pointer; }
.erc-pages { display: flex; flex-wrap: wrap; gap: .35rem; margin: .7rem 0; }
.erc-pages button { padding: .3rem .6rem; border-radius: 7px; border: 1px solid var(--border-color-primary);
  color: inherit; background: none; cursor: pointer; font-variant-numeric: tabular-nums; }
.erc-pages button[aria-current=true] { font-weight: 650; border-color: currentcolor; }
.erc-table .erc-num { text-align: right; font-variant-numeric: tabular-nums; }
.erc-table td.erc-num { background: color-mix(in srgb,
  var(--colour, transparent) calc(var(--score, 0%) * .42), transparent); }
.erc-table td.erc-nil { color: var(--faint); }
.erc-words { display: block; min-width: 9.5rem; overflow-wrap: anywhere; }
.erc-emotion { white-space: nowrap; }
.erc-emotion > i { margin-right: .4rem; }
.erc-emotion b { font-weight: 650; }
.erc-emotion .erc-was { width: max-content; max-width: 14rem; white-space: normal; }
.erc-used { display: block; font-size: .78rem; color: var(--faint); white-space: normal; }
.erc-care { font-size: .82rem; color: var(--faint); }

.dark .gradio-container :focus-visible { outline-color: #8fbcf5 !important; }
.dark .erc-voice { color: color-mix(in srgb, var(--colour) 50%, white); }
.dark .erc-ribbon { background: #2c3644; }
.dark .erc-ribbon a { box-shadow: inset -1px 0 #000; }
.dark .erc-message { background: #47201f; color: #ffd9d6; }
.dark .erc-notes { background: #433310; color: #ffe7b0; }
.dark .erc-change { background: #1f3350; color: #d9e6f7; }

@media (max-width: 640px) {
  .erc-table, .erc-table tbody, .erc-table caption { display: block; }
  .erc-table thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  .erc-table tbody tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.2rem, 1fr)); gap: .3rem;
    padding: .7rem 0 .7rem .4rem; border-bottom: 1px solid var(--border-color-primary); }
  .erc-table tbody th, .erc-table td.erc-emotion { grid-column: 1 / -1; border: 0; padding: 0; }
  .erc-table td.erc-num { border: 0; border-radius: 6px; padding: .2rem .35rem; text-align: left; }
  .erc-table td.erc-num::before { content: attr(data-label); display: block; font-size: .72rem; color: var(--faint);
    overflow: hidden; text-overflow: ellipsis; }
}
"""
