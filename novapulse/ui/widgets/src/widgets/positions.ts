// Open positions: what is held, what it makes now, and where the price stands between stop and target.

import { Keyed, h, linked, tell } from "../dom";
import { average, figure, fully, moment, number, percent, signed, tone } from "../figures";
import { list, text, widget, type Plain } from "../live";

const PRICES = ["mark_price", "stop_price", "target_price"];

function wayOf(position: Plain): [string, string, string] {
  const direction = number(position["direction"]);
  const word = text(position["direction"]).toLowerCase();
  if (direction !== null ? direction > 0 : word === "long") return ["▲", "long", "gain"];
  if (direction !== null ? direction < 0 : word === "short") return ["▼", "short", "loss"];
  return ["", word, ""];
}

/** Prices of one position on a line as wide as the place it has. */
class Rail {
  readonly element = h("div", "rail", h("i", "base"));
  private readonly run = this.element.appendChild(h("i", "run"));
  private readonly ticks = ["stop", "entry", "target"].map((name) => this.element.appendChild(h("i", `tick ${name}`)));
  private readonly dot = this.element.appendChild(h("i", "dot"));

  show(position: Plain): void {
    const prices = ["stop_price", "entry_price", "target_price"].map((name) => number(position[name]));
    const mark = number(position["mark_price"]);
    const known = [...prices, mark].filter((price): price is number => price !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const place = (price: number): number => (high > low ? 3 + (94 * (price - low)) / (high - low) : 50);
    const put = (element: HTMLElement, price: number | null | undefined): void => {
      element.hidden = price === null || price === undefined;
      if (price !== null && price !== undefined) element.style.left = `${place(price).toFixed(2)}%`;
    };
    for (const [at, tick] of this.ticks.entries()) put(tick, prices[at]);
    this.ticks[0]?.classList.toggle("absent", text(position["stop_missing_reason"]) !== "");
    put(this.dot, mark);
    const entry = prices[1] ?? null;
    this.run.hidden = entry === null || mark === null;
    if (entry === null || mark === null) return;
    this.run.className = `run ${tone(position["unrealized_pnl"])}`;
    const [from, to] = [Math.min(place(entry), place(mark)), Math.max(place(entry), place(mark))];
    this.run.style.left = `${from.toFixed(2)}%`;
    this.run.style.width = `${(to - from).toFixed(2)}%`;
  }
}

function makePosition(): { element: HTMLElement; update: (position: Plain) => void } {
  const rail = new Rail();
  const who = h("div", "who");
  const [qty, entry, pnl, more, stop, target] = [h("span"), h("span", "small"), h("span"), h("span", "small"), h("span"), h("span")];
  const levels = h("div", "levels", stop, target);
  const element = h("li", "one", who, h("div", "held", qty, entry), h("div", "road", rail.element, levels), h("div", "right", pnl, more));

  const update = (position: Plain): void => {
    const [mark, word, color] = wayOf(position);
    const foreign = position["is_ours"] === false ? h("span", "chip near", "not ours") : null;
    const name = linked(position["href"], "symbol", text(position["symbol"]), h("span", `way ${color}`, `${mark} ${word}`), foreign);
    const account = [position["exchange"], position["account_id"]].filter(Boolean).map(text).join(" · ");
    const lead = text(position["lead_strategy"] ?? position["strategy"]).replaceAll("_", " ");
    const whose = h("span", "small", [account, lead].filter(Boolean).join(", "));
    if (who.textContent !== `${name.textContent ?? ""}${whose.textContent ?? ""}`) who.replaceChildren(name, whose);
    who.title = position["opened_ns"] ? `opened ${fully(position["opened_ns"])}` : "";
    const unitOf = (figure: string, name: string): string => (number(position[figure]) !== null && position[name] ? `\u00a0${text(position[name])}` : "");
    const [base, quote] = [unitOf("qty", "base"), unitOf("entry_price", "quote")];
    const price = average(position["entry_price"], PRICES.map((name) => position[name]));
    tell(qty, `${figure(position["qty"])}${base} at ${price}${quote}`);
    tell(entry, lastOf(position));
    const known = number(position["unrealized_pnl"]) !== null;
    const unit = position["quote"] ? ` ${text(position["quote"])}` : "";
    tell(pnl, known ? signed(position["unrealized_pnl"], 2) : "not known", `pnl ${known ? tone(position["unrealized_pnl"]) : "unknown"}`);
    const r = number(position["unrealized_r"]);
    tell(more, [known ? unit.trim() : "", r === null ? "" : `${signed(r.toFixed(2))} R`].filter(Boolean).join(", "));
    rail.show(position);
    sayStop(stop, position);
    tell(target, position["target_price"] ? `target ${figure(position["target_price"])}` : "no target");
  };
  return { element, update };
}

function lastOf(position: Plain): string {
  if (number(position["mark_price"]) === null) return "no price known";
  const at = number(position["mark_ns"]) === null ? "at an unknown time" : `at ${moment(position["mark_ns"])}`;
  return `last ${figure(position["mark_price"])} ${at}`;
}

function sayStop(element: HTMLElement, position: Plain): void {
  const [price, mark] = [number(position["stop_price"]), number(position["mark_price"])];
  const [missing, status] = [text(position["stop_missing_reason"]), text(position["stop_status"]).toUpperCase()];
  if (price === null) {
    tell(element, `■ no stop: ${missing || "reason not known"}`, "bare");
    return;
  }
  const stop = `stop ${figure(position["stop_price"])}`;
  if (missing) {
    tell(element, `■ ${stop} NOT ${status === "UNKNOWN" ? "known to be " : ""}at the venue: ${missing}`, "bare");
    return;
  }
  const far = mark === null || mark === 0 ? "" : `, ${percent(Math.abs(mark - price) / mark)} away`;
  tell(element, `${stop}${far}${status === "REPLACE_PENDING" ? ", being changed" : ""}`, "");
}

export default widget("positions", ({ body, head }) => {
  const count = head.appendChild(h("span", "small"));
  const positions = new Keyed<Plain>(body.appendChild(h("ul")), makePosition);
  const none = body.appendChild(h("p", "none", "No open position."));
  const keyOf = (one: Plain): string => JSON.stringify([one["exchange"], one["account_id"], one["symbol"], one["is_ours"]]);
  return {
    state: (state) => {
      const all = list(state["positions"]);
      none.hidden = all.length > 0;
      tell(count, all.length > 0 ? `${all.length} open` : "");
      positions.show(all.map((one) => [keyOf(one), one]));
    },
  };
});
