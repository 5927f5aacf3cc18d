// Limits and how near each one is. The thin line on the track stands at 80 %.

import { Keyed, h, linked, tell } from "../dom";
import { figure, number } from "../figures";
import { LEVELS } from "../level";
import { list, text, widget, type Plain } from "../live";

function makeMeter(): { element: HTMLElement; update: (meter: Plain) => void } {
  const name = h("span", "name");
  const used = h("b");
  const limit = h("span");
  const fill = h("i");
  const track = h("div", "track", fill);
  const word = h("span", "word");
  const why = h("span");
  const element = h("li", "", h("div", "line", name, h("span", "amount", used, limit)), track, h("div", "why", word, why));
  track.setAttribute("role", "meter");
  track.setAttribute("aria-valuemin", "0");

  const update = (meter: Plain): void => {
    const [now, most] = [number(meter["used"]), number(meter["limit"])];
    const level = now === null || most === null ? "unknown" : text(meter["level"]) || "ok";
    const digits = number(meter["digits"]) ?? undefined;
    const unit = meter["unit"] ? ` ${text(meter["unit"])}` : "";
    const named = linked(meter["href"], "", text(meter["name"]));
    if (!name.firstElementChild?.isEqualNode(named)) name.replaceChildren(named);
    tell(used, now === null ? "not known" : figure(meter["used"], digits));
    tell(limit, most === null ? `${unit}, no limit known` : ` / ${figure(meter["limit"], digits)}${unit}`);
    const share = now === null || most === null ? 0 : most > 0 ? Math.min(1, Math.max(0, now / most)) : now > 0 ? 1 : 0;
    fill.style.width = `${(100 * share).toFixed(1)}%`;
    track.setAttribute("aria-label", name.textContent ?? "");
    track.setAttribute("aria-valuemax", String(most ?? 1));
    track.setAttribute("aria-valuenow", String(now ?? 0));
    track.setAttribute("aria-valuetext", `${used.textContent ?? ""}${limit.textContent ?? ""}, ${level}`);
    const { mark, word: levelWord } = LEVELS[level] ?? { mark: "?", word: level };
    tell(word, level === "ok" ? "" : `${mark} ${levelWord}. `);
    tell(why, text(meter["explanation"]));
    if (element.className !== level) element.className = level;
  };
  return { element, update };
}

export default widget("meters", ({ body }) => {
  const meters = new Keyed<Plain>(body.appendChild(h("ul")), makeMeter);
  const none = body.appendChild(h("p", "none", "No limits to show."));
  return {
    state: (state) => {
      const all = list(state["meters"]);
      none.hidden = all.length > 0;
      meters.show(all.map((meter, at) => [text(meter["key"] ?? meter["name"] ?? at), meter]));
    },
  };
});
