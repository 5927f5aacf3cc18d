// A curve on top and how far it is under its peak below, drawn on one canvas.

import { figure, percent } from "./figures";
import { clear, type Palette } from "./palette";
import { placeOf } from "./stream";

export interface Curve {
  time: number[];
  equity: number[];
  drawdown: number[];
}

const RIGHT_PX = 62;
const FOOT_PX = 20;
const GAP_PX = 14;
const UNDER_SHARE = 0.24;

/** Round steps that cut a range into about `parts`. */
function ticks(low: number, high: number, parts: number): number[] {
  const rough = (high - low) / parts || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const found: number[] = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(value);
  return found;
}

const STEPS_S = [1, 5, 15, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 7_776_000];

/** Round moments between two, about `parts` of them. */
function moments(first: number, last: number, parts: number): number[] {
  const rough = (last - first) / parts;
  const step = STEPS_S.find((seconds) => seconds >= rough) ?? Math.max(rough, 1);
  const found: number[] = [];
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) found.push(at);
  return found;
}

function timeWord(time_s: number, span_s: number): string {
  const iso = new Date(time_s * 1000).toISOString();
  return span_s < 2 * 86_400 ? iso.slice(11, span_s < 600 ? 19 : 16) : iso.slice(span_s < 300 * 86_400 ? 5 : 0, 10);
}

export class Scene {
  private readonly width: number;
  private readonly height: number;
  private readonly low: number;
  private readonly high: number;
  private readonly deepest: number;
  private readonly split: number;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly colors: Palette,
    private readonly curve: Curve,
  ) {
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    let [low, high] = [Infinity, -Infinity];
    for (const value of curve.equity) [low, high] = [Math.min(low, value), Math.max(high, value)];
    const margin = (high - low) * 0.08 || Math.abs(high) * 0.001 || 1;
    [this.low, this.high] = [low - margin, high + margin];
    this.deepest = Math.max(curve.drawdown.reduce((most, value) => Math.max(most, value), 0) * 1.12, 1e-4);
    this.split = (this.height - FOOT_PX - GAP_PX) * (1 - UNDER_SHARE);
  }

  private get end(): number {
    return this.width - RIGHT_PX;
  }

  private x(time_s: number): number {
    const { time } = this.curve;
    const [first, last] = [time[0] ?? 0, time.at(-1) ?? 1];
    return last > first ? ((time_s - first) / (last - first)) * (this.end - 4) : this.end / 2;
  }

  private y(equity: number): number {
    return this.split * (1 - (equity - this.low) / (this.high - this.low));
  }

  private under(drawdown: number): number {
    const top = this.split + GAP_PX;
    return top + (drawdown / this.deepest) * (this.height - FOOT_PX - top);
  }

  /** The place of the point nearest to a pixel. */
  at(x: number): number | null {
    const { time } = this.curve;
    const [first, last] = [time[0], time.at(-1)];
    if (first === undefined || last === undefined) return null;
    const wanted = first + (x / (this.end - 4)) * (last - first);
    const after = placeOf(time.map((value) => [value]), wanted);
    const before = Math.max(0, after - 1);
    const nearer = Math.abs((time[before] ?? 0) - wanted) <= Math.abs((time[after] ?? Infinity) - wanted) ? before : after;
    return Math.min(time.length - 1, nearer);
  }

  draw(at: number | null): void {
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    const context = this.canvas.getContext("2d");
    if (!context || this.width < RIGHT_PX * 2 || this.curve.time.length === 0) return;
    context.scale(ratio, ratio);
    context.font = `11px ${this.colors.font}`;
    context.textBaseline = "middle";
    this.grid(context);
    this.drawUnder(context);
    this.drawEquity(context);
    if (at !== null) this.cursor(context, at);
  }

  private grid(context: CanvasRenderingContext2D): void {
    const { time } = this.curve;
    context.strokeStyle = clear(this.colors.grid, 0.7);
    context.fillStyle = this.colors.muted;
    context.lineWidth = 1;
    const line = (y: number, words: string): void => {
      context.beginPath();
      context.moveTo(0, Math.round(y) + 0.5);
      context.lineTo(this.end, Math.round(y) + 0.5);
      context.stroke();
      context.fillText(words, this.end + 8, y);
    };
    const steps = ticks(this.low, this.high, Math.max(2, this.split / 48));
    const digits = Math.max(0, -Math.floor(Math.log10((steps[1] ?? 1) - (steps[0] ?? 0) || 1) + 1e-9));
    for (const value of steps) if (this.y(value) > 6) line(this.y(value), figure(value.toFixed(digits)));
    line(this.under(0), "0 %");
    line(this.under(this.deepest / 1.12), percent(-this.deepest / 1.12));
    const [first, last] = [time[0] ?? 0, time.at(-1) ?? 0];
    context.textAlign = "center";
    for (const moment of moments(first, last, Math.max(2, this.end / 110))) {
      const [x, words] = [this.x(moment), timeWord(moment, last - first)];
      const half = context.measureText(words).width / 2;
      if (x >= half && x <= this.end - half) context.fillText(words, x, this.height - FOOT_PX / 2 + 2);
    }
    context.textAlign = "left";
  }

  /** Moves along the points; where many share a pixel column, its lowest and highest are kept. */
  private trace(context: CanvasRenderingContext2D, values: readonly number[], y: (value: number) => number): void {
    let [column, low, high] = [-1, 0, 0];
    for (const [place, value] of values.entries()) {
      const x = this.x(this.curve.time[place] ?? 0);
      const now = y(value);
      if (Math.floor(x) !== column) {
        column = Math.floor(x);
        [low, high] = [now, now];
        context.lineTo(x, now);
      } else if (now < low || now > high) {
        [low, high] = [Math.min(low, now), Math.max(high, now)];
        context.lineTo(x, now);
      }
    }
    context.lineTo(this.x(this.curve.time.at(-1) ?? 0), y(values.at(-1) ?? 0));
  }

  private area(context: CanvasRenderingContext2D, values: readonly number[], y: (value: number) => number, ground: number, fill: string | CanvasGradient, stroke: string): void {
    context.beginPath();
    context.moveTo(this.x(this.curve.time[0] ?? 0), ground);
    this.trace(context, values, y);
    context.lineTo(this.x(this.curve.time.at(-1) ?? 0), ground);
    context.fillStyle = fill;
    context.fill();
    context.beginPath();
    this.trace(context, values, y);
    context.strokeStyle = stroke;
    context.lineJoin = "round";
    context.lineWidth = 1.6;
    context.stroke();
  }

  private drawEquity(context: CanvasRenderingContext2D): void {
    const shade = context.createLinearGradient(0, 0, 0, this.split);
    shade.addColorStop(0, clear(this.colors.accent, 0.26));
    shade.addColorStop(1, clear(this.colors.accent, 0.01));
    const start = this.y(this.curve.equity[0] ?? 0);
    this.area(context, this.curve.equity, (value) => this.y(value), this.split, shade, this.colors.accent);
    context.setLineDash([3, 4]);
    context.strokeStyle = this.colors.neutral;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(0, start);
    context.lineTo(this.end, start);
    context.stroke();
    context.setLineDash([]);
    this.dot(context, this.curve.time.length - 1);
  }

  private drawUnder(context: CanvasRenderingContext2D): void {
    const fill = clear(this.colors.loss, 0.22);
    this.area(context, this.curve.drawdown, (value) => this.under(value), this.under(0), fill, clear(this.colors.loss, 0.8));
  }

  private dot(context: CanvasRenderingContext2D, at: number): void {
    context.beginPath();
    context.arc(this.x(this.curve.time[at] ?? 0), this.y(this.curve.equity[at] ?? 0), 3.5, 0, 2 * Math.PI);
    context.fillStyle = this.colors.accent;
    context.strokeStyle = this.colors.panel;
    context.lineWidth = 2;
    context.fill();
    context.stroke();
  }

  private cursor(context: CanvasRenderingContext2D, at: number): void {
    const x = Math.round(this.x(this.curve.time[at] ?? 0)) + 0.5;
    context.strokeStyle = this.colors.neutral;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.height - FOOT_PX);
    context.stroke();
    this.dot(context, at);
  }
}
