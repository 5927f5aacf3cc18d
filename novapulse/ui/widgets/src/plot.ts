// The chart under the candles widget: the library's objects and their colours, nothing of what is shown.

import {
  CandlestickSeries,
  HistogramSeries,
  LineSeries,
  LineStyle,
  createChart,
  createSeriesMarkers,
  type AutoscaleInfo,
  type IChartApi,
  type IPriceLine,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { figure } from "./figures";
import { clear, type Palette } from "./palette";
import { type Row } from "./stream";

export const stamp = (time_s: number): UTCTimestamp => time_s as UTCTimestamp;

/** Candles nearer to each other are a smear. */
const THIN_PX = 1.5;
const NO_COLOR = "rgba(0, 0, 0, 0)";

const spoken = (time: Time): string => `${new Date(Number(time) * 1000).toISOString().replace("T", " ").slice(0, 16)} UTC`;

export interface Line {
  price: number;
  kind: string;
  text: string;
}

export class Plot {
  readonly chart: IChartApi;
  readonly candles: ISeriesApi<"Candlestick">;
  readonly markers: ISeriesMarkersPluginApi<Time>;
  private readonly volume: ISeriesApi<"Histogram">;
  /** Closes in place of candles that would be too thin; only where the whole of the bars is shown. */
  private readonly closes: ISeriesApi<"Line"> | null;
  private lines: IPriceLine[] = [];
  private isThin = false;
  private levels: readonly Line[] = [];

  constructor(box: HTMLElement, private palette: Palette, whole: boolean) {
    this.chart = createChart(box, {
      autoSize: true,
      layout: { attributionLogo: true, panes: { enableResize: false } },
      localization: { locale: "en-GB", timeFormatter: spoken },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.06, bottom: 0.2 } },
      timeScale: { borderVisible: false, timeVisible: true, rightOffset: whole ? 0 : 4, minBarSpacing: 0.02, lockVisibleTimeRangeOnResize: whole },
      handleScale: { axisPressedMouseMove: { price: true, time: true } },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: LineStyle.Dotted });
    this.candles.applyOptions({ autoscaleInfoProvider: (own: () => AutoscaleInfo | null) => this.withNear(own()) });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.85, bottom: 0.015 } });
    this.markers = createSeriesMarkers(this.candles, []);
    this.closes = whole ? this.chart.addSeries(LineSeries, { lineWidth: 1, visible: false, lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false }) : null;
    if (whole) this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.thin());
    this.color(palette);
  }

  private thin(): void {
    const isThin = this.chart.timeScale().options().barSpacing < THIN_PX;
    if (isThin === this.isThin) return;
    this.isThin = isThin;
    this.closes?.applyOptions({ visible: isThin });
    this.colorCandles();
  }

  private colorCandles(): void {
    const [gain, loss] = this.isThin ? [NO_COLOR, NO_COLOR] : [this.palette.gain, this.palette.loss];
    this.candles.applyOptions({ upColor: gain, downColor: loss, wickUpColor: gain, wickDownColor: loss, priceLineColor: this.palette.muted });
  }

  color(palette: Palette): void {
    this.palette = palette;
    const { grid, muted, panel, neutral } = palette;
    this.chart.applyOptions({
      layout: { background: { color: panel }, textColor: muted, fontFamily: palette.font, fontSize: 11, panes: { separatorColor: grid } },
      grid: { vertLines: { color: clear(grid, 0.55) }, horzLines: { color: clear(grid, 0.55) } },
      crosshair: { vertLine: { color: neutral, labelBackgroundColor: muted }, horzLine: { color: neutral, labelBackgroundColor: muted } },
    });
    this.closes?.applyOptions({ color: muted });
    this.colorCandles();
  }

  private bar([time, open, high, low, close]: Row): { time: UTCTimestamp; open: number; high: number; low: number; close: number } {
    return { time: stamp(time ?? 0), open: open ?? 0, high: high ?? 0, low: low ?? 0, close: close ?? 0 };
  }

  private column([time, open, , , close, volume]: Row): { time: UTCTimestamp; value: number; color: string } {
    const { gain, loss } = this.palette;
    return { time: stamp(time ?? 0), value: volume ?? 0, color: clear((close ?? 0) >= (open ?? 0) ? gain : loss, 0.32) };
  }

  show(rows: readonly Row[], step_s: number, digits: number): void {
    const written = (price: number): string => figure(price.toFixed(digits));
    this.candles.applyOptions({ priceFormat: { type: "custom", minMove: 10 ** -digits, formatter: written } });
    this.chart.timeScale().applyOptions({ timeVisible: step_s < 86_400, secondsVisible: step_s < 60 });
    this.candles.setData(rows.map((row) => this.bar(row)));
    this.volume.setData(rows.map((row) => this.column(row)));
    this.closes?.setData(rows.map(([time, , , , close]) => ({ time: stamp(time ?? 0), value: close ?? 0 })));
  }

  /** The times of the bars that are drawn, s. */
  times(): number[] {
    return this.candles.data().map((bar) => Number(bar.time));
  }

  add(row: Row): void {
    this.candles.update(this.bar(row));
    this.closes?.update({ time: stamp(row[0] ?? 0), value: row[4] ?? 0 });
    this.volume.update(this.column(row));
  }

  /** The range of the bars, and of the levels that stand not further from them than half of it. */
  private withNear(own: AutoscaleInfo | null): AutoscaleInfo | null {
    if (!own?.priceRange) return own;
    const { minValue, maxValue } = own.priceRange;
    const reach = (maxValue - minValue) / 2;
    const near = this.levels.map((line) => line.price).filter((price) => price >= minValue - reach && price <= maxValue + reach);
    return { ...own, priceRange: { minValue: Math.min(minValue, ...near), maxValue: Math.max(maxValue, ...near) } };
  }

  /** The levels that no line is seen of: over the range of prices shown, and under it. */
  beyond(): { over: Line[]; under: Line[] } {
    const high = this.candles.getPane().getHeight();
    const y = (line: Line): number => this.candles.priceToCoordinate(line.price) ?? high / 2;
    return { over: this.levels.filter((line) => y(line) < 0), under: this.levels.filter((line) => y(line) > high) };
  }

  draw(lines: readonly Line[]): void {
    this.levels = lines;
    for (const line of this.lines) this.candles.removePriceLine(line);
    const colors: Record<string, string> = { stop: this.palette.loss, target: this.palette.gain };
    this.lines = lines.map(({ price, kind, text }) => {
      const color = colors[kind] ?? this.palette.muted;
      const lineStyle = kind === "entry" ? LineStyle.Solid : kind === "absent" ? LineStyle.SparseDotted : LineStyle.Dashed;
      const label = { axisLabelVisible: true, axisLabelTextColor: this.palette["on-accent"], title: text || kind };
      return this.candles.createPriceLine({ price, color, lineWidth: 1, lineStyle, ...label });
    });
  }
}
