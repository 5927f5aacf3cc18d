"""A slider over moments that can play: what it stands on reaches Python, and no cell runs again for it."""

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

_SCRIPT = """
const SAVED_MS = 80, STEP_MS = 50;
const h = (tag, name, ...inside) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
};
export default { render({ model, el }) {
  const play = h("button", "np-play"), at = h("input", ""), label = h("span", "np-play-at"), speed = h("select", "");
  play.type = "button";
  at.type = "range"; at.min = "0"; at.step = "1"; at.setAttribute("aria-label", model.get("name"));
  speed.setAttribute("aria-label", "How fast");
  for (const times of [1, 5, 20, 60]) speed.append(new Option(`${times} times as fast`, String(times)));
  speed.value = "5";
  el.append(h("div", "np-player", play, at, speed, label));
  let playing = null, place = model.get("at"), saved = 0, later = null;
  const save = () => {
    later = null;
    saved = performance.now();
    model.set("at", Math.round(place));
    model.save_changes();
  };
  const move = (to) => {
    place = Math.max(0, Math.min(model.get("count") - 1, to));
    at.value = String(Math.round(place));
    const wait = SAVED_MS - (performance.now() - saved);
    if (wait <= 0) { clearTimeout(later); save(); } else if (later === null) later = setTimeout(save, wait);
  };
  const tell = () => {
    at.max = String(Math.max(0, model.get("count") - 1));
    label.textContent = model.get("label");
    at.setAttribute("aria-valuetext", model.get("label"));
    play.textContent = playing === null ? "\\u25b6 Play" : "\\u2016 Pause";
    play.disabled = model.get("count") < 2;
  };
  const stop = () => { clearInterval(playing); playing = null; tell(); };
  const step = () => {
    move(place + (STEP_MS / 1000) * model.get("per_second") * Number(speed.value));
    if (place >= model.get("count") - 1) stop();
  };
  play.addEventListener("click", () => {
    if (playing !== null) return stop();
    if (place >= model.get("count") - 1) move(0);
    playing = setInterval(step, STEP_MS);
    tell();
  });
  at.addEventListener("input", () => { stop(); move(Number(at.value)); });
  model.on("change:label", tell);
  model.on("change:count", tell);
  at.value = String(place);
  tell();
  at.value = String(place);
  return () => {
    clearInterval(playing);
    clearTimeout(later);
    model.off("change:label", tell);
    model.off("change:count", tell);
  };
} };
"""

_STYLE = """
.np-player { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: 8px 12px; align-items: center;
  font: 13px/1.4 var(--np-font, sans-serif); color: var(--np-text); }
.np-player input { width: 100%; accent-color: var(--np-accent); }
.np-player button, .np-player select { font: inherit; color: var(--np-text); background: var(--np-sunk);
  border: 1px solid var(--np-line); border-radius: 8px; padding: 6px 12px; }
.np-player :is(button, select, input):focus-visible { outline: 2px solid var(--np-accent); outline-offset: 1px; }
.np-play { min-width: 92px; cursor: pointer; }
.np-play-at { grid-column: 1 / -1; color: var(--np-muted); font-variant-numeric: tabular-nums; }
@media (max-width: 560px) {
  .np-player { grid-template-columns: auto minmax(0, 1fr); }
  .np-player input { grid-column: 1 / -1; grid-row: 1; }
}
"""


class Player(anywidget.AnyWidget):
    """A slider with a button that plays.

    Attributes:
        name: For those who hear the page.
        count: Moments there are.
        at: The one that is looked at, from 0.
        per_second: Moments of one second.
        label: What is said of the present one.
    """

    _esm, _css = _SCRIPT, _STYLE
    name = traitlets.Unicode("Moment").tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    per_second = traitlets.Float(1.0).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)

    def on_move(self, show: Callable[[int], str]) -> None:
        """Show the present moment, and every one that is moved to.

        Args:
            show: Given a moment, from 0 to `count` - 1; returns what is said of it.
        """

        def moved(_: Any = None) -> None:
            # The page writes it: whatever comes is brought into the range.
            self.label = show(min(max(self.at, 0), max(self.count - 1, 0)))

        moved()
        self.observe(moved, "at")
