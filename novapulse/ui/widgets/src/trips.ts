// Round trips on the candles: a line from entry to exit, a mark at both, stops and targets as steps while they held.

import type { CanvasRenderingTarget2D } from "fancy-canvas";
import type { AutoscaleInfo, IChartApi, IPrimitivePaneView, ISeriesApi, ISeriesPrimitive, Time } from "lightweight-charts";
import { figure, number, signed } from "./figures";
import { plain, text, type Plain } from "./live";
import { clear, type Palette } from "./palette";
import { placeOf, tableOf, type Row } from "./stream";

/** Stops and targets of all round trips in sight are drawn up to so many; of more, only those of the one pointed out. */
const LEVELS_MAX = 25;
const FADED = 0.35;
const ENTRY_PX = 4.8;
const EXIT_PX = 3.4;

export interface Trip {
  readonly number: number;
  readonly from_s: number;
  readonly to_s: number;
  readonly entry: number;
  readonly exit: number;
  readonly long: boolean;
  readonly r: number;
  readonly pnl: number;
  readonly currency: string;
  readonly stop: number;
  readonly target: number;
  readonly lead: string;
  readonly reason: string;
}

interface Laid {
  readonly trip: Trip;
  readonly left: number;
  readonly right: number;
}

function tripsOf(given: Plain): Trip[] {
  const currency = text(given["currency"]);
  const [leads, reasons] = [given["leads"], given["reasons"]].map((names) => (Array.isArray(names) ? names.map(text) : []));
  return tableOf(given["rows"])[1].map((row) => {
    const [count = 0, from_s = 0, to_s = 0, entry = NaN, exit = NaN, direction = 0, r = NaN, pnl = NaN, stop = NaN, target = NaN, lead = -1, reason = -1] = row;
    return { number: count, from_s, to_s, entry, exit, long: direction > 0, r, pnl, currency, stop, target, lead: leads?.[lead] ?? "", reason: reasons?.[reason] ?? "" };
  });
}

export class Trips implements ISeriesPrimitive<Time> {
  private trips: Trip[] = [];
  private laid: Laid[] = [];
  private selected: number | null = null;
  private of = "";
  private update: () => void = () => undefined;
  private readonly views: readonly IPrimitivePaneView[];

  constructor(
    private readonly chart: IChartApi,
    private readonly candles: ISeriesApi<"Candlestick">,
    private readonly palette: () => Palette,
    /** Told whenever round trips were painted: of which run they are. */
    private readonly painted: (of: string) => void,
  ) {
    const draw = (target: CanvasRenderingTarget2D): void => this.drawMarks(target);
    const drawUnder = (target: CanvasRenderingTarget2D): void => this.drawBoxes(target);
    this.views = [
      { zOrder: () => "bottom", renderer: () => ({ draw: drawUnder }) },
      { zOrder: () => "top", renderer: () => ({ draw }) },
    ];
  }

  attached(given: { requestUpdate: () => void }): void {
    this.update = given.requestUpdate;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  /** Prices of the round trip that is pointed out are in sight with the candles. */
  autoscaleInfo(): AutoscaleInfo | null {
    const prices = this.laid.flatMap(({ trip }) => (trip.number === this.selected ? [trip.entry, trip.exit, trip.stop, trip.target] : []));
    const known = prices.filter(Number.isFinite);
    return known.length === 0 ? null : { priceRange: { minValue: Math.min(...known), maxValue: Math.max(...known) } };
  }

  show(given: unknown, rows: readonly Row[]): void {
    const told = plain(given);
    this.trips = tripsOf(told);
    this.selected = number(told["selected"]);
    this.of = text(told["of"]);
    this.lay(rows);
  }

  /** Puts the round trips over other bars. */
  lay(rows: readonly Row[]): void {
    const usual_s = usualOf(rows);
    this.laid = this.trips.map((trip) => ({ trip, left: placeAt(rows, usual_s, trip.from_s), right: placeAt(rows, usual_s, trip.to_s) }));
    this.update();
  }

  /** What was held on the bar of a place, in words; the round trips that began or ended there come first. */
  words(place: number): string[] {
    const [left, right] = [place - 0.5, place + 0.5];
    const turned = ({ left: from, right: to }: Laid): boolean => (from > left && from <= right) || (to > left && to <= right);
    const held = this.laid.filter((one) => one.left <= right && one.right > left);
    return held.sort((one, other) => Number(turned(other)) - Number(turned(one))).map(({ trip }) => wordsOf(trip));
  }

  /** Stop and target of the round trip that is pointed out. */
  levels(): { price: number; kind: string; text: string }[] {
    const trip = this.trips.find((one) => one.number === this.selected);
    if (!trip) return [];
    const named = [["entry", trip.entry], ["stop", trip.stop], ["target", trip.target], ["exit", trip.exit]] as const;
    return named.flatMap(([kind, price]) => (Number.isFinite(price) ? [{ price, kind, text: kind }] : []));
  }

  private x(place: number): number {
    const scale = this.chart.timeScale();
    // The library knows whole places only.
    const whole = Math.floor(place);
    return Number(scale.logicalToCoordinate(whole as never) ?? -1e6) + (place - whole) * scale.options().barSpacing;
  }

  private y(price: number): number {
    return Number(this.candles.priceToCoordinate(price) ?? NaN);
  }

  private inSight(): Laid[] {
    const shown = this.chart.timeScale().getVisibleLogicalRange();
    return shown ? this.laid.filter(({ left, right }) => right >= shown.from - 1 && left <= shown.to + 1) : [];
  }

  private shade(trip: Trip): number {
    return this.selected === null || trip.number === this.selected ? 1 : FADED;
  }

  private drawBoxes(target: CanvasRenderingTarget2D): void {
    const colors = this.palette();
    const chosen = this.inSight().filter(({ trip }) => trip.number === this.selected);
    target.useMediaCoordinateSpace(({ context }) => {
      for (const { trip, left, right } of chosen) {
        for (const [level, color] of [[trip.stop, colors.loss], [trip.target, colors.gain]] as const) {
          const [top, bottom] = [this.y(trip.entry), this.y(level)];
          if (!Number.isFinite(bottom)) continue;
          context.fillStyle = clear(color, 0.12);
          context.fillRect(this.x(left), Math.min(top, bottom), this.x(right) - this.x(left), Math.abs(bottom - top));
        }
      }
    });
  }

  private drawMarks(target: CanvasRenderingTarget2D): void {
    const colors = this.palette();
    const seen = this.inSight();
    const leveled = this.selected !== null ? seen.filter(({ trip }) => trip.number === this.selected) : seen.length <= LEVELS_MAX ? seen : [];
    target.useMediaCoordinateSpace(({ context }) => {
      const line = (from: readonly [number, number], to: readonly [number, number], color: string, dash: number[], alpha: number): void => {
        context.setLineDash(dash);
        context.strokeStyle = clear(color, alpha);
        context.beginPath();
        context.moveTo(...from);
        context.lineTo(...to);
        context.stroke();
      };
      context.lineWidth = 1.25;
      for (const { trip, left, right } of leveled) {
        for (const [level, color] of [[trip.stop, colors.loss], [trip.target, colors.gain]] as const) {
          const y = this.y(level);
          if (Number.isFinite(y)) line([this.x(left), y], [this.x(right), y], color, [4, 3], 1);
        }
      }
      const ends = seen.map(({ trip, left, right }) => ({ trip, from: [this.x(left), this.y(trip.entry)] as const, to: [this.x(right), this.y(trip.exit)] as const }));
      for (const { trip, from, to } of ends) line(from, to, hasLost(trip) ? colors.loss : colors.gain, [2, 2], this.shade(trip));
      context.setLineDash([]);
      context.lineWidth = 1;
      context.strokeStyle = colors.panel;
      for (const { trip, from, to } of ends) {
        const alpha = this.shade(trip);
        context.fillStyle = clear(trip.long ? colors.gain : colors.loss, alpha);
        triangle(context, from, trip.long ? -1 : 1);
        context.fillStyle = clear(hasLost(trip) ? colors.loss : colors.gain, alpha);
        context.beginPath();
        context.arc(to[0], to[1], EXIT_PX, 0, 2 * Math.PI);
        context.fill();
        context.stroke();
      }
    });
    this.painted(this.of);
  }
}

/** Where a moment lies among the bars, each of which reaches half a place to either side. */
function placeAt(rows: readonly Row[], usual_s: number, time_s: number): number {
  const at = Math.min(placeOf(rows, time_s), rows.length - 1);
  const [before, close] = [rows[at - 1]?.[0], rows[at]?.[0] ?? time_s];
  const width_s = before === undefined ? usual_s : Math.min(usual_s, close - before);
  const left = (close - time_s) / width_s;
  // What happened while there was no bar stands at the edge of the next one.
  return at + 0.5 - (before === undefined ? left : Math.min(left, 1));
}

/** How far bars are apart, but for gaps and for a last one that is not whole. */
function usualOf(rows: readonly Row[]): number {
  const apart = rows.slice(1, 40).map((row, at) => (row[0] ?? 0) - (rows[at]?.[0] ?? 0));
  return apart.sort((one, other) => one - other)[apart.length >> 1] ?? 60;
}

function triangle(context: CanvasRenderingContext2D, [x, y]: readonly [number, number], way: 1 | -1): void {
  context.beginPath();
  context.moveTo(x, y + way * ENTRY_PX);
  context.lineTo(x - ENTRY_PX, y - way * ENTRY_PX * 0.8);
  context.lineTo(x + ENTRY_PX, y - way * ENTRY_PX * 0.8);
  context.closePath();
  context.fill();
  context.stroke();
}

const hasLost = ({ r, pnl }: Trip): boolean => (Number.isFinite(r) ? r : pnl) < 0;

const minute = (time_s: number): string => new Date(time_s * 1000).toISOString().replace("T", " ").slice(5, 16);

function wordsOf(trip: Trip): string {
  const unit = trip.currency ? `\u00a0${trip.currency}` : "";
  const made = `${Number.isFinite(trip.r) ? `${signed(trip.r, 2)} R` : "R unknown"} (${signed(trip.pnl, 2)}${unit})`;
  const way = trip.long ? "▲ long" : "▼ short";
  return `${way}${trip.lead ? `, ${trip.lead}` : ""}: ${made}, ${minute(trip.from_s)} at ${figure(trip.entry)} to ${minute(trip.to_s)} at ${figure(trip.exit)}, ${trip.reason}`;
}

