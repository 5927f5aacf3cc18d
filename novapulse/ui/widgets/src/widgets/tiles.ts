// Key figures: a label, a value, what it changed by, a note, and the page behind it.

import { Keyed, h, ownAddress, tell } from "../dom";
import { UNKNOWN, figure, number, shownTone, signed, tone, unparted } from "../figures";
import { levelMark } from "../level";
import { list, text, widget, type Plain } from "../live";

const ARROWS: Record<string, string> = { gain: "▲ ", loss: "▼ " };

function makeTile(): { element: HTMLElement; update: (tile: Plain) => void } {
  const name = h("span");
  const level = h("span");
  const value = h("span", "value");
  const delta = h("span", "delta");
  const note = h("span", "note");
  const parts = [h("span", "label", name, level), h("span", "figure", value, delta), note];
  const element = h("li");
  let box: HTMLElement | null = null;

  const update = (tile: Plain): void => {
    const href = ownAddress(tile["href"]);
    if (!box || (box instanceof HTMLAnchorElement ? box.href : null) !== href) {
      box = href === null ? h("div", "tile", ...parts) : h("a", "tile", ...parts);
      if (box instanceof HTMLAnchorElement && href !== null) box.href = href;
      element.replaceChildren(box);
    }
    const state = text(tile["level"]) || "ok";
    box.className = `tile ${state}`;
    tell(name, text(tile["label"]));
    level.replaceChildren(...(state === "ok" ? [] : [levelMark(state)]));
    const digits = number(tile["digits"]) ?? undefined;
    const known = tile["value"] !== null && tile["value"] !== undefined && tile["value"] !== "";
    const amount = tile["signed"] ? signed(tile["value"], digits) : figure(tile["value"], digits);
    const shown = tile["plain"] ? text(tile["value"]) : amount;
    const color = tile["signed"] ? shownTone(tile["value"], shown) : text(tile["tone"]);
    tell(value, known ? shown : "not known", known ? `value ${color}` : "value unknown");
    if (known && tile["unit"]) value.append(h("small", "", text(tile["unit"])));
    const moved = signed(tile["delta"]);
    const way = tone(tile["delta"]);
    tell(delta, moved === UNKNOWN ? "" : `${ARROWS[way] ?? ""}${moved}${text(tile["delta_unit"])}`, `delta ${way}`);
    tell(note, unparted(text(tile["note"])));
    note.title = text(tile["note"]);
  };
  return { element, update };
}

export default widget("tiles", ({ body }) => {
  const grid = body.appendChild(h("ul"));
  const tiles = new Keyed<Plain>(grid, makeTile);
  return { state: (state) => tiles.show(list(state["tiles"]).map((tile, at) => [text(tile["key"] ?? tile["label"] ?? at), tile])) };
});
