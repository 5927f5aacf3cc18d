// Equity and how far it stands under its peak. Start and peak are the account's where they are told; what is counted from
// the points alone says so, as they are not all there ever were.

import { Scene, type Curve } from "../curve";
import { Keyed, h, tell, tellLinked } from "../dom";
import { figure, number, percent, signed, tone } from "../figures";
import { plain, text, widget, type Place, type Plain } from "../live";
import { paletteOf, whenRecoloured } from "../palette";
import { Stream } from "../stream";

function curveOf(rows: readonly (readonly number[])[]): Curve {
  const curve: Curve = { time: [], equity: [], drawdown: [] };
  let peak = -Infinity;
  for (const [time, equity] of rows) {
    if (time === undefined || equity === undefined || !Number.isFinite(equity)) continue;
    peak = Math.max(peak, equity);
    curve.time.push(time);
    curve.equity.push(equity);
    curve.drawdown.push(peak > 0 ? 1 - equity / peak : 0);
  }
  return curve;
}

const TOLD = ["change:start", "change:peak", "change:equity_href", "change:drawdown_href"];

interface Fact {
  name: string;
  value?: string;
  address?: unknown;
  names?: string;
}

function makeFact(): { element: HTMLElement; update: (fact: Fact) => void } {
  const [name, value] = [h("span"), h("b")];
  const update = (fact: Fact): void => {
    tell(name, fact.value === undefined ? fact.name : `${fact.name} `);
    tellLinked(value, fact.value ?? "", fact.address);
    value.className = fact.names ?? "";
  };
  return { element: h("span", "", name, value), update };
}

class Equity {
  private readonly facts = h("div", "facts");
  private readonly told = new Keyed<Fact>(this.facts, makeFact);
  private readonly canvas = h("canvas");
  private readonly none = h("p", "none", "No equity is known yet.");
  private readonly spoken = h("div", "said");
  private readonly stream: Stream;
  private readonly resized: ResizeObserver;
  private readonly forgetColors: () => void;
  private curve: Curve = { time: [], equity: [], drawdown: [] };
  private at: number | null = null;
  private pending = 0;

  constructor(private readonly place: Place) {
    const { model, root, body } = place;
    root.style.setProperty("--tall", `${Number(model.get("height") ?? 240)}px`);
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.spoken.setAttribute("aria-live", "polite");
    body.append(this.facts, this.canvas, this.none, this.spoken);
    this.stream = new Stream(model, () => this.load());
    for (const name of TOLD) model.on(name, this.tellFacts);
    this.resized = new ResizeObserver(() => this.soon());
    this.resized.observe(this.canvas);
    this.forgetColors = whenRecoloured(() => this.soon());
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.goTo(null));
    this.canvas.addEventListener("blur", () => this.goTo(null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.load();
  }

  message(message: Plain): void {
    this.stream.hear(message);
  }

  close(): void {
    for (const name of TOLD) this.place.model.off(name, this.tellFacts);
    this.stream.close();
    this.resized.disconnect();
    this.forgetColors();
    cancelAnimationFrame(this.pending);
  }

  private load(): void {
    this.curve = curveOf(this.stream.rows);
    this.none.hidden = this.curve.time.length > 0;
    this.tellFacts();
    this.soon();
  }

  private soon(): void {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    new Scene(this.canvas, paletteOf(this.place.root), this.curve).draw(this.at);
  }

  private point(x: number): void {
    this.goTo(new Scene(this.canvas, paletteOf(this.place.root), this.curve).at(x));
  }

  private goTo(at: number | null): void {
    if (at === this.at) return;
    this.at = at;
    this.tellFacts();
    this.soon();
  }

  private key(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    const last = this.curve.time.length - 1;
    if (step === undefined || last < 0) return;
    event.preventDefault();
    this.goTo(Math.max(0, Math.min(last, (this.at ?? last + 1) + step)));
    tell(this.spoken, this.inWords());
  }

  private readonly tellFacts = (): void => {
    const { time, equity, drawdown } = this.curve;
    const last = time.length - 1;
    const at = this.at === null ? last : Math.min(this.at, last);
    const [now, under] = [equity[at], drawdown[at]];
    if (now === undefined || under === undefined) return this.told.show([]);
    const unit = text(this.place.model.get("quote"));
    const peak = at === last ? number(this.place.model.get("peak")) : null;
    const low = peak === null || peak <= 0 ? under : Math.max(0, 1 - now / peak);
    const deepest = drawdown.reduce((most, value) => Math.max(most, value), low);
    const [money, depth] = [this.place.model.get("equity_href"), this.place.model.get("drawdown_href")];
    const [since, first] = this.began();
    const moment = new Date((time[at] ?? 0) * 1000).toISOString().replace("T", " ").slice(0, 16);
    const isOfShown = peak === null || peak <= 0;
    this.told.show([
      ["moment", { name: `${moment} UTC` }],
      ["equity", { name: "equity", value: `${figure(now.toFixed(2))}${unit ? ` ${unit}` : ""}`, address: money }],
      ["since", { name: since, value: `${signed((now - first).toFixed(2))} (${percent(now / first - 1, 2, true)})`, address: money, names: tone(now - first) }],
      ["under", { name: isOfShown ? "under the peak shown" : "under the peak", value: percent(low), address: depth }],
      ["deepest", { name: "deepest shown", value: percent(deepest), address: depth }],
    ]);
    this.canvas.setAttribute("aria-label", `equity curve. ${this.inWords()}`);
  };

  /** The facts for those who hear them: each ends before the next begins. */
  private inWords(): string {
    return Array.from(this.facts.children, (fact) => fact.textContent ?? "").join("; ");
  }

  /** Since when a change is counted, in words, and what the equity was then. */
  private began(): [string, number] {
    const day = (time_s: number): string => new Date(time_s * 1000).toISOString().slice(0, 10);
    const start = plain(this.place.model.get("start"));
    const [time, equity] = [number(start["time"]), number(start["equity"])];
    if (time !== null && equity !== null) return [`since the start, ${day(time)},`, equity];
    return [`since ${day(this.curve.time[0] ?? 0)}, the oldest shown,`, this.curve.equity[0] ?? 0];
  }
}

export default widget("equity", (place) => {
  const equity = new Equity(place);
  return { message: (one) => equity.message(one), close: () => equity.close() };
});
