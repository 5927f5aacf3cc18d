// Candles of up to 20,000 bars, and what happened on them: fills, round trips, levels, regimes, votes. A click names the bar
// to Python.

import type { SeriesMarker, Time } from "lightweight-charts";
import { Bands } from "../bands";
import { h, linked, tell } from "../dom";
import { Edges } from "../edges";
import { digitsOf, figure, number, percent, short, tone, withinYear } from "../figures";
import { LANE_PX, Lanes } from "../lanes";
import { list, plain, text, widget, type Place, type Plain } from "../live";
import { paletteOf, regimeColor, whenRecoloured } from "../palette";
import { Plot, stamp, type Line } from "../plot";
import { keptSight, stepOf } from "../sight";
import { Stream, placeOf, tableOf, type Row } from "../stream";
import { Trips } from "../trips";

const WORDED_FILLS_MAX = 30;
const TOLD_FILLS_MAX = 4;
const FIRST_BARS = 160;
const TOLD_TRIPS_MAX = 2;
const BAND_DEPTH = 0.05;
const BAR_WIDTH = 6;
/** What the words of a fill take, px: nearer to each other they would lie over one another. */
const FILL_WORDS_PX = 52;

class Candles {
  private readonly legend = h("div", "legend");
  private readonly box = h("div", "box");
  private readonly held = h("div", "held");
  private readonly keys = h("div", "keys");
  private readonly empty = h("div", "empty", "No bars yet.");
  private readonly answers = h("div", "answers");
  private readonly spoken = h("div", "said");
  private readonly plot: Plot;
  private readonly bands: Bands;
  private readonly trips: Trips;
  private readonly lanes: Lanes;
  private readonly fold = h("button", "fold");
  private readonly stream: Stream;
  private readonly forgetColors: () => void;
  private readonly resized = new ResizeObserver(() => requestAnimationFrame(() => this.layPanes()));
  private palette;
  private given: Plain = {};
  private digits = 2;
  private cursor: number | null = null;
  /** Whether keys moved the cursor last: the chart then tells where its own crosshair went, later and after it scrolled. */
  private byKeys = false;
  /** Place of the bar that the chart is about; null for none. */
  private marked: number | null = null;
  private lanesShown = false;
  private told = "[]";
  /** Votes by lane, beside the bars; null where they came with the bars. */
  private votes: readonly Row[] | null = null;
  private votesOf = "";
  private clicks = 0;

  constructor(private readonly place: Place) {
    const { model, root, head, body } = place;
    this.palette = paletteOf(root);
    head.append(this.legend);
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "application");
    this.box.setAttribute("aria-label", `${text(model.get("label")) || "chart"}: left and right go from bar to bar, enter chooses, S says the levels drawn`);
    for (const heard of [this.spoken, this.answers]) heard.setAttribute("aria-live", "polite");
    body.append(this.held, this.fold, this.box, this.answers, this.keys, this.spoken);
    this.box.append(this.empty);
    this.tall();
    this.plot = new Plot(this.box, this.palette, this.isWhole);
    this.bands = new Bands(this.plot.chart);
    this.plot.chart.panes()[0]?.attachPrimitive(this.bands);
    const painted = (of: string): void => this.painted(of);
    this.trips = new Trips(this.plot.chart, this.plot.candles, () => this.palette, painted);
    this.plot.candles.attachPrimitive(this.trips);
    const vote = (lane: number, at: number): number => (this.votes ? this.votes[lane]?.[at] : this.rows[at]?.[BAR_WIDTH + lane]) ?? NaN;
    this.lanes = new Lanes(this.plot.chart, () => this.palette, vote, () => painted(this.votesOf));
    this.lanes.folded = model.get("folded") === true;
    this.fold.type = "button";
    this.fold.addEventListener("click", () => this.unfold());
    this.plot.candles.getPane().attachPrimitive(new Edges(this.plot, this.box, () => this.digits));
    this.stream = new Stream(model, (change) => (change.kind === "last" ? this.added(change.row) : this.reload(change.kind === "all")));
    model.on("change:lanes", this.layLanes);
    model.on("change:votes", this.voted);
    model.on("change:trips", this.traded);
    this.voted();
    this.reload(true);
    this.traded();
    this.plot.chart.subscribeCrosshairMove((at) => {
      if (at.sourceEvent) this.byKeys = false;
      else if (this.byKeys) return;
      this.cursor = at.logical !== undefined && at.point ? Number(at.logical) : null;
      this.read();
    });
    this.plot.chart.subscribeClick((at) => at.logical !== undefined && this.choose(Number(at.logical)));
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.forgetColors = whenRecoloured(() => this.recolor());
    this.resized.observe(this.box);
  }

  state(given: Plain): void {
    this.given = given;
    this.annotate();
  }

  message(message: Plain): void {
    this.stream.hear(message);
  }

  close(): void {
    this.place.model.off("change:lanes", this.layLanes);
    this.place.model.off("change:votes", this.voted);
    this.place.model.off("change:trips", this.traded);
    this.resized.disconnect();
    this.stream.close();
    this.forgetColors();
    this.plot.chart.remove();
  }

  private get rows(): readonly Row[] {
    return this.stream.rows;
  }

  private get isWhole(): boolean {
    return this.place.model.get("whole") === true;
  }

  /** Says on the page of what the round trips or votes are that were painted last. */
  private painted(of: string): void {
    if (of !== "") this.place.root.dataset["drawn"] = of;
  }

  private readonly voted = (): void => {
    const given = plain(this.place.model.get("votes"));
    this.votesOf = text(given["of"]);
    this.votes = this.votesOf === "" ? null : tableOf(given["rows"])[1];
    this.lanes.redraw();
  };

  private readonly traded = (): void => {
    const given = this.place.model.get("trips");
    this.trips.show(given, this.rows);
    this.held.hidden = text(plain(given)["of"]) === "";
    this.read();
  };

  private tall(): void {
    const lanes_px = this.lanesShown ? this.lanes.drawn.length * LANE_PX + 12 : 0;
    this.place.root.style.setProperty("--lanes", `${lanes_px}px`);
    this.place.root.style.setProperty("--tall", `${Number(this.place.model.get("height") ?? 420) + lanes_px}px`);
  }

  private step_s(): number {
    return stepOf(this.rows.slice(-30).map((row) => row[0] ?? 0));
  }

  private reload(isOther: boolean): void {
    const range = this.plot.chart.timeScale().getVisibleLogicalRange();
    const before = this.plot.times();
    const pointed = this.byKeys && this.cursor !== null ? before[this.cursor] : undefined;
    this.empty.hidden = this.rows.length > 0;
    // What floats add behind the tenth figure is no digit of the price.
    const price = (value: number | undefined): number => Number((value ?? NaN).toPrecision(10));
    this.digits = digitsOf(this.rows.slice(-300).flatMap((row) => [price(row[1]), price(row[4])]));
    this.plot.show(this.rows, this.step_s(), this.digits);
    const count = this.rows.length;
    this.trips.lay(this.rows);
    const isAnew = isOther && (this.isWhole || number(plain(this.given["marked"])["time"]) !== null);
    const kept = range && !isAnew ? keptSight(range, before, this.rows) : null;
    if (kept) {
      this.plot.chart.timeScale().setVisibleLogicalRange(kept);
      if (pointed !== undefined) this.point(placeOf(this.rows, pointed));
    } else {
      if (this.isWhole) this.plot.chart.timeScale().setVisibleLogicalRange({ from: -0.5, to: Math.max(count, 2) - 0.5 });
      else this.plot.chart.timeScale().setVisibleLogicalRange({ from: count - Math.min(count, this.fitting()), to: count + 3 });
      this.marked = null;
    }
    this.layLanes();
    this.annotate();
  }

  /** How many bars can be told from each other at first sight. */
  private fitting(): number {
    return Math.min(FIRST_BARS, Math.round((this.box.clientWidth || 1200) / 5));
  }

  /** Marks the bar that the chart is about, and brings it to the middle when it has become another. */
  private mark(): SeriesMarker<Time>[] {
    const given = plain(this.given["marked"]);
    const time = number(given["time"]);
    const at = time === null ? this.rows.length : placeOf(this.rows, time);
    const bar = this.rows[at];
    this.bands.name = bar ? text(given["name"]) : "";
    [this.bands.accent, this.bands.font] = [this.palette.accent, `600 11px ${this.palette.font}`];
    if (!bar) {
      this.marked = null;
      return [];
    }
    if (this.marked !== at) {
      this.marked = this.bands.chosen = at;
      const half = this.fitting() / 2;
      this.plot.chart.timeScale().setVisibleLogicalRange({ from: at - half, to: at + half });
    }
    return [{ time: stamp(bar[0] ?? 0), position: "aboveBar", shape: "circle", color: this.palette.accent }];
  }

  private added(row: Row): void {
    this.empty.hidden = true;
    this.plot.add(row);
    this.read();
  }

  private readonly layLanes = (): void => {
    const names = this.place.model.get("lanes");
    this.lanes.names = Array.isArray(names) ? names.map(text) : [];
    if (this.lanes.names.length > 0 && !this.lanesShown) {
      const pane = this.plot.chart.addPane(true);
      pane.attachPrimitive(this.lanes);
      pane.moveTo(0);
      this.lanesShown = true;
    }
    if (this.lanesShown) this.tall();
    const behind = this.lanes.names.length - 1;
    this.fold.hidden = behind < 1 || this.place.model.get("folded") !== true;
    tell(this.fold, `${this.lanes.folded ? "+" : "−"} ${behind} ${behind === 1 ? "lane" : "lanes"}`);
    this.fold.setAttribute("aria-label", `${this.lanes.folded ? "show" : "hide"} ${behind} more ${behind === 1 ? "lane" : "lanes"}`);
    this.fold.setAttribute("aria-expanded", String(!this.lanes.folded));
    this.layPanes();
  };

  private unfold(): void {
    this.lanes.folded = !this.lanes.folded;
    this.layLanes();
    this.lanes.redraw();
  }

  /** The lanes have their height, however tall the chart has become: it would share out what it gains. */
  private layPanes(): void {
    const [lanes, wanted_px] = [this.plot.chart.panes()[0], this.lanes.drawn.length * LANE_PX + 10];
    if (this.lanesShown && lanes && lanes.getHeight() !== wanted_px) lanes.setHeight(wanted_px);
  }

  private annotate(): void {
    const fills = list(this.given["fills"]);
    const between = FILL_WORDS_PX / this.plot.chart.timeScale().options().barSpacing;
    const mark = this.mark();
    const worded = { buy: -Infinity, sell: -Infinity };
    const markers = fills.map((fill): SeriesMarker<Time> | null => {
      const at = placeOf(this.rows, number(fill["time"]) ?? Infinity);
      const bar = this.rows[at];
      if (!bar) return null;
      const bought = text(fill["side"]).toUpperCase() === "BUY";
      const way = bought ? "buy" : "sell";
      const isBeside = !bought && this.marked !== null && Math.abs(at - this.marked) < between;
      const apart = !isBeside && Math.abs(at - worded[way]) >= between;
      if (apart) worded[way] = at;
      const words = apart && fills.length <= WORDED_FILLS_MAX ? short(fill["qty"]) : "";
      return {
        time: stamp(bar[0] ?? 0),
        position: bought ? "belowBar" : "aboveBar",
        shape: bought ? "arrowUp" : "arrowDown",
        color: bought ? this.palette.gain : this.palette.loss,
        text: words,
      };
    });
    const known = [...markers.filter((marker): marker is SeriesMarker<Time> => marker !== null), ...mark];
    this.plot.markers.setMarkers(known.sort((a, b) => Number(a.time) - Number(b.time)));
    this.plot.draw(this.lines());
    this.answer();
    this.regimes();
    this.pointOut();
    this.read();
  }

  /** Tints the bar that the page says something of. */
  private pointOut(): void {
    const time = number(plain(this.given["chosen"])["time"]);
    if (time === null) return;
    const at = placeOf(this.rows, time);
    const isShown = at < this.rows.length && time > (this.rows[0]?.[0] ?? Infinity) - this.step_s();
    this.bands.chosen = isShown ? at : null;
    this.bands.redraw();
  }

  private lines(): Line[] {
    return list(this.given["lines"]).flatMap((line) => {
      const price = number(line["price"]);
      return price === null ? [] : [{ price, kind: text(line["kind"]), text: text(line["text"]) }];
    });
  }

  /** What is said of the bar that was chosen; what stands there already is not said again. */
  private answer(): void {
    const given = list(this.given["answers"]);
    const told = JSON.stringify(given);
    if (told === this.told) return;
    this.told = told;
    this.answers.replaceChildren(...given.map((one) => h("p", "", linked(one["href"], "", text(one["text"])))));
  }

  private regimes(): void {
    const given = list(this.given["regimes"]);
    const names = [...new Set(given.map((one) => text(one["name"])))].sort();
    const colorOf = (name: string): string => regimeColor(name, names, this.palette);
    this.bands.bands = given.map((one) => ({
      from: placeOf(this.rows, number(one["from"]) ?? 0),
      to: placeOf(this.rows, number(one["to"]) ?? Infinity) - 1,
      name: text(one["name"]),
      color: colorOf(text(one["name"])),
      depth: number(one["depth"]) ?? BAND_DEPTH,
    }));
    this.bands.redraw();
    const note = text(this.given["note"]);
    this.keys.replaceChildren(
      ...(note ? [h("span", "", note)] : []),
      ...names.map((name) => {
        const swatch = h("i");
        swatch.style.background = colorOf(name);
        return h("span", "", swatch, name);
      }),
    );
  }

  private read(): void {
    const last = this.rows.length - 1;
    const at = this.cursor === null ? (this.marked ?? last) : Math.max(0, Math.min(last, this.cursor));
    const bar = this.rows[at];
    if (!bar) return this.legend.replaceChildren();
    const [time, open, high, low, close, volume] = bar;
    const before = this.rows[at - 1]?.[4];
    const color = tone((close ?? 0) - (open ?? 0));
    const word = (name: string, value: unknown, names = ""): HTMLElement => h("span", "", `${name} `, h("b", names, figure(value, this.digits)));
    const parts = [
      h("span", "", `${withinYear(new Date(Number(time) * 1000).toISOString().replace("T", " ").slice(0, this.step_s() < 60 ? 19 : 16))} UTC`),
      word("O", open),
      word("H", high),
      word("L", low),
      word("C", close, color),
    ];
    if (before) parts.push(h("span", tone((close ?? 0) - before), percent((close ?? 0) / before - 1, 2, true)));
    parts.push(h("span", "", "V ", h("b", "", figure(Number((volume ?? 0).toPrecision(6))))));
    const regime = this.bands.bands.find((band) => at >= band.from && at <= band.to);
    if (regime && this.held.hidden) parts.push(h("span", "", regime.name));
    if (at === this.marked && this.bands.name) parts.push(h("b", "", this.bands.name));
    for (const fill of this.fillsOn(at)) parts.push(fill);
    this.legend.replaceChildren(...parts);
    tell(this.held, [...(regime ? [regime.name] : []), ...this.heldOn(at)].join(" · "));
    if (this.lanes.read !== at) {
      this.lanes.read = at;
      this.lanes.redraw();
    }
  }

  /** What is drawn of a bar, in words: the legend, and what the lanes say of it. */
  private sayBar(at: number): void {
    const facts = Array.from(this.legend.children, (part) => part.textContent ?? "");
    tell(this.spoken, [...facts, ...(this.held.hidden ? [] : [this.held.textContent ?? ""]), ...this.lanes.words(at)].join(", "));
  }

  private sayLines(): void {
    const words = [...this.lines(), ...this.trips.levels()].map(({ price, kind, text }) => `${text || kind} at ${figure(price, this.digits)}`);
    tell(this.spoken, words.length > 0 ? words.join(", ") : "No level is drawn.");
  }

  private heldOn(at: number): string[] {
    const words = this.trips.words(at);
    const more = words.length - TOLD_TRIPS_MAX;
    if (words.length === 0) return ["no position"];
    return more > 0 ? [...words.slice(0, TOLD_TRIPS_MAX), `and ${more} more`] : words;
  }

  private fillsOn(at: number): HTMLElement[] {
    const of = list(this.given["fills"]).filter((fill) => placeOf(this.rows, number(fill["time"]) ?? Infinity) === at);
    const told = of.slice(0, TOLD_FILLS_MAX).map((fill) => {
      const bought = text(fill["side"]).toUpperCase() === "BUY";
      const [base, quote] = [fill["base"], fill["quote"]].map((name) => (name ? `\u00a0${text(name)}` : ""));
      const words = `${bought ? "▲ bought" : "▼ sold"} ${figure(fill["qty"])}${base} at ${figure(fill["price"])}${quote}`;
      return h("b", bought ? "gain" : "loss", words);
    });
    const more = of.length - told.length;
    return more > 0 ? [...told, h("span", "", `and ${more} more`)] : told;
  }

  private choose(logical: number): void {
    const at = Math.max(0, Math.min(this.rows.length - 1, Math.round(logical)));
    const bar = this.rows[at];
    if (!bar) return;
    this.bands.chosen = at;
    this.bands.redraw();
    // Counted, so that a bar that was chosen before is chosen again.
    this.place.model.set("clicked", { time: bar[0], count: ++this.clicks });
    this.place.model.save_changes();
  }

  private key(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    const last = this.rows.length - 1;
    const isBare = !event.ctrlKey && !event.altKey && !event.metaKey;
    if (isBare && event.key.toLowerCase() === "s") return this.sayLines();
    const step = steps[event.key];
    if (last < 0 || (step === undefined && event.key !== "Enter")) return;
    event.preventDefault();
    if (event.key === "Enter") return this.choose(this.cursor ?? last);
    const at = Math.max(0, Math.min(last, (this.cursor ?? last + 1) + (step ?? 0)));
    this.byKeys = true;
    const range = this.plot.chart.timeScale().getVisibleLogicalRange();
    if (range && (at < range.from || at > range.to)) {
      const shift = at < range.from ? at - range.from - 2 : at - range.to + 2;
      this.plot.chart.timeScale().setVisibleLogicalRange({ from: range.from + shift, to: range.to + shift });
    }
    this.point(at);
    this.read();
    this.sayBar(at);
  }

  private point(at: number): void {
    const bar = this.rows[at];
    if (bar) this.plot.chart.setCrosshairPosition(bar[4] ?? 0, stamp(bar[0] ?? 0), this.plot.candles);
    this.cursor = at;
  }

  private recolor(): void {
    this.palette = paletteOf(this.place.root);
    this.bands.ink = this.palette.muted;
    const range = this.plot.chart.timeScale().getVisibleLogicalRange();
    this.plot.color(this.palette);
    this.plot.show(this.rows, this.step_s(), this.digits);
    if (range) this.plot.chart.timeScale().setVisibleLogicalRange(range);
    this.annotate();
    this.lanes.redraw();
  }
}

export default widget("candles", (place) => {
  const candles = new Candles(place);
  return { state: (given) => candles.state(given), message: (one) => candles.message(one), close: () => candles.close() };
});
