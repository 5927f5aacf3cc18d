// Figures as people read them. Amounts arrive as exact decimal texts and are rounded as texts: no float comes in between.

export const UNKNOWN = "—";
const PARTS = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/;

interface Decimal {
  negative: boolean;
  whole: string;
  fraction: string;
}

function decimal(value: unknown): Decimal | null {
  if (typeof value !== "string" && typeof value !== "number") return null;
  const parts = PARTS.exec(String(value).trim());
  if (!parts || (!parts[2] && !parts[3])) return null;
  const exponent = Number(parts[4] ?? 0);
  if (Math.abs(exponent) > 400) return null;
  let whole = parts[2] ?? "";
  let fraction = parts[3] ?? "";
  if (exponent > 0) {
    fraction = fraction.padEnd(exponent, "0");
    whole += fraction.slice(0, exponent);
    fraction = fraction.slice(exponent);
  } else if (exponent < 0) {
    whole = whole.padStart(-exponent, "0");
    fraction = whole.slice(exponent) + fraction;
    whole = whole.slice(0, exponent);
  }
  return { negative: parts[1] === "-", whole: whole.replace(/^0+(?=\d)/, "") || "0", fraction };
}

function rounded(value: Decimal, digits: number): Decimal {
  if (value.fraction.length <= digits) return { ...value, fraction: value.fraction.padEnd(digits, "0") };
  const kept = BigInt(value.whole + value.fraction.slice(0, digits)) + (value.fraction.charAt(digits) >= "5" ? 1n : 0n);
  const text = kept.toString().padStart(digits + 1, "0");
  const whole = text.slice(0, text.length - digits);
  return { negative: value.negative, whole, fraction: text.slice(text.length - digits) };
}

function written(value: Decimal, plus: boolean): string {
  const zero = !/[1-9]/.test(value.whole + value.fraction);
  const sign = zero ? "" : value.negative ? "−" : plus ? "+" : "";
  const grouped = value.whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return sign + grouped + (value.fraction ? `.${value.fraction}` : "");
}

/** A figure with grouped thousands, rounded to `digits` where they are given; nothing at all is 0, what is not known a dash. */
export function figure(value: unknown, digits?: number, plus = false): string {
  const read = decimal(value);
  if (read === null) return value === null || value === undefined || value === "" ? UNKNOWN : String(value);
  if (digits !== undefined) return written(rounded(read, digits), plus);
  return /[1-9]/.test(read.whole + read.fraction) ? written(read, plus) : "0";
}

/** A figure of which the first three digits tell enough; whole numbers stay whole. */
export function short(value: unknown): string {
  const read = number(value);
  return figure(value, read ? Math.max(0, 2 - Math.floor(Math.log10(Math.abs(read)))) : undefined);
}

/** An average of prices: with the digits of those beside it, and at most two more, however long the division went on. */
export function average(value: unknown, beside: readonly unknown[]): string {
  const digits = Math.max(0, ...beside.map((one) => decimal(one)?.fraction.length ?? 0));
  const own = decimal(value)?.fraction.length ?? 0;
  return figure(value, Math.min(Math.max(own, digits), digits + 2));
}

/** The same with its sign written out. */
export function signed(value: unknown, digits?: number): string {
  return figure(value, digits, true);
}

/** A fraction as a percentage. */
export function percent(value: unknown, digits = 2, plus = false): string {
  const read = number(value);
  return read === null ? UNKNOWN : `${figure((read * 100).toFixed(digits), digits, plus)} %`;
}

/** A number to draw with (never to book with), or null. */
export function number(value: unknown): number | null {
  if (value === null || value === undefined || value === "" || typeof value === "boolean") return null;
  const read = Number(value);
  return Number.isFinite(read) ? read : null;
}

/** "gain", "loss" or nothing, by the sign. */
export function tone(value: unknown): string {
  const read = number(value);
  return read === null || read === 0 ? "" : read > 0 ? "gain" : "loss";
}

/** The same of a figure as it is written: one that is rounded to nothing has no sign, and so no colour that stands for it. */
export function shownTone(value: unknown, shown: string): string {
  return /[1-9]/.test(shown) ? tone(value) : "";
}

/** A stretch of time in one or two units. */
export function lasting(seconds: unknown): string {
  const read = number(seconds);
  if (read === null) return UNKNOWN;
  if (read < 120) return `${Math.floor(read)} s`;
  if (read < 7200) return `${Math.floor(read / 60)} min`;
  if (read < 172_800) return `${Math.floor(read / 3600)} h ${Math.floor((read % 3600) / 60)} min`;
  return `${Math.floor(read / 86_400)} d`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** A moment as ISO text, without the year where that is the present one. */
export function withinYear(iso: string, now = Date.now()): string {
  return iso.slice(0, 4) === new Date(now).toISOString().slice(0, 4) ? iso.slice(5) : iso;
}

/** A moment in UTC, as short as it can be: the time today, day and time this year, the year as well before. */
export function moment(ns: unknown, now = Date.now()): string {
  const read = number(ns);
  if (read === null) return UNKNOWN;
  const at = new Date(read / 1e6);
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  const today = new Date(now).toISOString().slice(0, 10);
  return at.toISOString().slice(0, 10) === today ? time : `${withinYear(at.toISOString().slice(0, 10), now)} ${time.slice(0, 5)}`;
}

/** A moment in full, for the tooltip. */
export function fully(ns: unknown): string {
  const read = number(ns);
  return read === null ? "not known" : `${new Date(read / 1e6).toISOString().replace("T", " ").replace("Z", "")} UTC`;
}

/** How many digits the prices of a list need, at most eight. */
export function digitsOf(values: readonly unknown[]): number {
  let most = 0;
  for (const value of values) most = Math.max(most, decimal(value)?.fraction.replace(/0+$/, "").length ?? 0);
  return Math.min(most, 8);
}

/** A text whose figures no line parts from their unit. */
export function unparted(prose: string): string {
  return prose.replace(/(\d) (?=%|(?:R|bps|ms|s|[A-Z]{2,6})\b)/g, "$1\u00a0");
}
