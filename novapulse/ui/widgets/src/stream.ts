// Rows of numbers that come at once as bytes and go on one by one. A row that was lost is asked for again.

import { type Model, type Plain } from "./live";

export const ROWS_MAX = 20_000;
/** How many go at once when there are too many, so that not every bar lays the chart anew. */
const CUT = 500;

export type Row = readonly number[];

function floats(value: unknown): Float64Array {
  if (ArrayBuffer.isView(value)) return new Float64Array(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
  return value instanceof ArrayBuffer ? new Float64Array(value) : new Float64Array();
}

/** Bytes of little-endian float64: the width of a row, then the rows. */
export function tableOf(value: unknown): [number, Row[]] {
  const all = floats(value);
  const width = all[0] ?? 0;
  const rows: Row[] = [];
  for (let at = 1; width > 0 && at + width <= all.length; at += width) rows.push(Array.from(all.subarray(at, at + width)));
  return [width, rows];
}

/** The first place in `rows` whose time is not before `time_s`. */
export function placeOf(rows: readonly Row[], time_s: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.[0] ?? Infinity) < time_s) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What became of the rows: one was added or replaced at the end, some were put among them, or all are others. */
export type Change = { kind: "last"; row: Row } | { kind: "some" } | { kind: "all" };

/** The rows of one widget: time in s first, ascending, the latest 20,000 of them. */
export class Stream {
  rows: Row[] = [];
  private width = 0;
  private count: number | null = null;

  constructor(
    private readonly model: Model,
    private readonly changed: (change: Change) => void,
  ) {
    this.model.on("change:rows", this.reload);
    this.load();
  }

  private readonly reload = (): void => {
    this.load();
    this.count = null;
    this.changed({ kind: "all" });
    this.model.send({ type: "ready" });
  };

  private load(): void {
    const [width, rows] = tableOf(this.model.get("rows"));
    this.width = width;
    this.rows = rows.slice(-ROWS_MAX);
  }

  /** Takes a message of one row or of all that came since the bytes. */
  hear(message: Plain): void {
    const count = Number(message["count"] ?? 0);
    if (message["type"] === "rows" && Array.isArray(message["rows"])) {
      const kinds = message["rows"].map((row) => this.take(row));
      this.count = count;
      if (kinds.some((kind) => kind !== "none")) this.changed({ kind: "some" });
    } else if (message["type"] === "row") {
      const lost = this.count !== null && count > this.count + 1;
      const kind = this.take(message["row"]);
      const row = this.rows.at(-1);
      if (kind === "last" && row) this.changed({ kind, row });
      else if (kind === "some") this.changed({ kind });
      if (lost) this.model.send({ type: "ready" });
      else this.count = count;
    }
  }

  private take(given: unknown): "last" | "some" | "none" {
    if (!Array.isArray(given) || given.length !== this.width || !Number.isFinite(given[0])) return "none";
    const row = given.map((value) => (value === null ? NaN : Number(value)));
    const time_s = row[0] ?? 0;
    const last = this.rows.at(-1)?.[0] ?? -Infinity;
    if (time_s === last) {
      this.rows[this.rows.length - 1] = row;
      return "last";
    }
    if (time_s > last) this.rows.push(row);
    else {
      const place = placeOf(this.rows, time_s);
      if (place === 0 || this.rows[place]?.[0] === time_s) return "none";
      this.rows.splice(place, 0, row);
    }
    const full = this.rows.length > ROWS_MAX;
    if (full) this.rows = this.rows.slice(CUT);
    return full || time_s < last ? "some" : "last";
  }

  close(): void {
    this.model.off("change:rows", this.reload);
  }
}
