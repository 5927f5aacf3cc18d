// Colours for what is drawn on canvas: those of the page, and a word when the page goes light or dark.

const REGIMES = ["range-low", "range-normal", "range-high", "trend-low", "trend-normal", "trend-high"] as const;
const COMPARED = ["compared-1", "compared-2", "compared-3", "compared-4"] as const;
const NAMES = ["text", "muted", "grid", "panel", "sunk", "line", "accent", "gain", "loss", "neutral", "warn", "on-accent", "font", ...REGIMES, ...COMPARED] as const;

export type Palette = Record<(typeof NAMES)[number], string>;

export function paletteOf(root: Element): Palette {
  const style = getComputedStyle(root);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as Palette;
}

/** A colour with some of the ground shining through; anything but #rrggbb stays as it is. */
export function clear(color: string, alpha: number): string {
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(color);
  if (!hex) return color;
  const [red, green, blue] = hex.slice(1).map((part) => parseInt(part, 16));
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

/** The colour of a regime, the same wherever it is shown; one that is not ours has that of its place among others such. */
export function regimeColor(name: string, others: readonly string[], palette: Palette): string {
  const known = REGIMES.find((one) => one === name);
  if (known) return palette[known];
  const foreign = others.filter((other) => !REGIMES.some((one) => one === other));
  return palette[COMPARED[Math.max(0, foreign.indexOf(name)) % COMPARED.length] ?? "neutral"];
}

/** Calls when the look of the page changes; returns what stops it. */
export function whenRecoloured(call: () => void): () => void {
  const watch = new MutationObserver(call);
  for (const element of [document.documentElement, document.body]) {
    watch.observe(element, { attributes: true, attributeFilter: ["class", "data-theme"] });
  }
  return () => watch.disconnect();
}
