// What a cell of a table can be: how its value is written, coloured and sorted.

import { UNKNOWN, figure, fully, lasting, moment, number, percent, shownTone, signed } from "./figures";
import { text, type Plain } from "./live";

export interface Column {
  key: string;
  label: string;
  kind: string;
  digits: number | undefined;
  wide: boolean;
  /** Field of the row that names what its figures are counted in; empty where the label does, or nothing needs to. */
  unit: string;
  /** Whether a row may be without one: then nothing is no unknown. */
  none: boolean;
}

const LEFT = new Set(["text", "side", "status", "time"]);
const WAYS: Record<string, string> = { buy: "gain", long: "gain", sell: "loss", short: "loss" };

export function columnOf(given: Plain): Column {
  const key = text(given["key"]);
  const digits = number(given["digits"]) ?? undefined;
  return { key, label: text(given["label"]) || key, kind: text(given["kind"]) || "text", digits, unit: text(given["unit"]), wide: given["wide"] === true, none: given["none"] === true };
}

export function classOf(column: Column): string {
  return [LEFT.has(column.kind) ? "text" : "", column.wide ? "wide" : ""].filter(Boolean).join(" ");
}

/** The text of a cell, with what its figure is counted in, and the class that colours it. */
export function cell(column: Column, row: Plain): [string, string] {
  const [shown, color] = alone(column, row[column.key]);
  const unit = column.unit && number(row[column.key]) !== null ? text(row[column.unit]) : "";
  return [unit ? `${shown}\u00a0${unit}` : shown, color];
}

function alone(column: Column, value: unknown): [string, string] {
  if (value === "" || (column.none && (value === null || value === undefined))) return [UNKNOWN, "dash"];
  if (value === null || value === undefined) return ["unknown", "unknown"];
  switch (column.kind) {
    case "figure":
      return [figure(value, column.digits), ""];
    case "signed": {
      const shown = signed(value, column.digits);
      return [shown, shownTone(value, shown)];
    }
    case "percent":
      return [percent(value, column.digits), ""];
    case "time":
      return [moment(value), ""];
    case "age":
      return [lasting(value), ""];
    case "side": {
      const word = text(value).toLowerCase();
      const way = WAYS[word] ?? "";
      return [`${way === "gain" ? "▲ " : way === "loss" ? "▼ " : ""}${word}`, way];
    }
    case "status":
      return [text(value).toLowerCase().replaceAll("_", " "), text(value).toUpperCase() === "UNKNOWN" ? "loss" : ""];
    default:
      return [text(value), ""];
  }
}

export function tooltip(column: Column, value: unknown): string {
  return column.kind === "time" ? fully(value) : "";
}

/** Orders two values: by number where both are numbers, unknown last whichever way. */
export function compared(a: unknown, b: unknown, down: boolean): number {
  const none = (value: unknown): boolean => value === null || value === undefined || value === "";
  if (none(a) || none(b)) return Number(none(a)) - Number(none(b));
  const [x, y] = [number(a), number(b)];
  const order = x !== null && y !== null ? x - y : text(a).localeCompare(text(b));
  return down ? -order : order;
}
