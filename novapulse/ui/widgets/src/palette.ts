// Colours for what is drawn on canvas: those of the page, and a word when the page goes light or dark.

const NAMES = ["text", "muted", "grid", "panel", "sunk", "line", "accent", "gain", "loss", "neutral", "warn", "font"] as const;

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

/** Colours of categories: apart in lightness and hue, and none of them a gain's or a loss's. */
export function categories(dark: boolean): string[] {
  return dark ? ["#2dd4bf", "#a78bfa", "#facc15", "#f472b6", "#94a3b8"] : ["#0f766e", "#7c3aed", "#a16207", "#be185d", "#64748b"];
}

const REGIMES: Record<string, [string, string]> = {
  "range-low": ["#5eb5a9", "#2b7a72"],
  "range-normal": ["#0f766e", "#2dd4bf"],
  "range-high": ["#134e4a", "#99f6e4"],
  "trend-low": ["#b794f6", "#6d4fb3"],
  "trend-normal": ["#7c3aed", "#a78bfa"],
  "trend-high": ["#4c1d95", "#ddd6fe"],
};

/** The colour of a regime, the same wherever it is shown: ranges teal, trends violet, stronger the more it moves. */
export function regimeColor(name: string, others: readonly string[], dark: boolean): string {
  const known = REGIMES[name];
  if (known) return known[dark ? 1 : 0];
  const colors = categories(dark);
  return colors[others.filter((other) => !(other in REGIMES)).indexOf(name) % colors.length] ?? "#64748b";
}

export function isDark(palette: Palette): boolean {
  const hex = /^#(..)(..)(..)$/.exec(palette.panel);
  return hex !== null && parseInt(hex[1] ?? "ff", 16) + parseInt(hex[2] ?? "ff", 16) + parseInt(hex[3] ?? "ff", 16) < 384;
}

/** Calls when the look of the page changes; returns what stops it. */
export function whenRecoloured(call: () => void): () => void {
  const watch = new MutationObserver(call);
  for (const element of [document.documentElement, document.body]) {
    watch.observe(element, { attributes: true, attributeFilter: ["class", "data-theme"] });
  }
  return () => watch.disconnect();
}
