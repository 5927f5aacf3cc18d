// What lies behind the candles: bands of regimes, and the bar that was chosen.

import type { CanvasRenderingTarget2D } from "fancy-canvas";
import type { IChartApi, IPanePrimitive, IPanePrimitivePaneView, Time } from "lightweight-charts";
import { clear } from "./palette";

export interface Band {
  from: number;
  to: number;
  name: string;
  color: string;
  /** How much of its colour lies behind the candles, 0 to 1. */
  depth: number;
}

const STRIP_PX = 5;

/** Draws bands between bars given by their places. */
export class Bands implements IPanePrimitive<Time> {
  bands: Band[] = [];
  chosen: number | null = null;
  /** What is said of the bar that was chosen, at the top, where no mark of a fill stands. */
  name = "";
  ink = "#5d6b82";
  accent = "#2563eb";
  font = "11px sans-serif";
  private update: () => void = () => undefined;
  private readonly views: readonly IPanePrimitivePaneView[];

  constructor(private readonly chart: IChartApi) {
    const drawBackground = (target: CanvasRenderingTarget2D): void => this.draw(target);
    this.views = [{ zOrder: () => "bottom", renderer: () => ({ draw: () => undefined, drawBackground }) }];
  }

  attached(given: { requestUpdate: () => void }): void {
    this.update = given.requestUpdate;
  }

  paneViews(): readonly IPanePrimitivePaneView[] {
    return this.views;
  }

  redraw(): void {
    this.update();
  }

  private draw(target: CanvasRenderingTarget2D): void {
    const scale = this.chart.timeScale();
    const half = scale.options().barSpacing / 2;
    const x = (place: number): number => Number(scale.logicalToCoordinate(place as never) ?? -1e6);
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      for (const band of this.bands) {
        const left = Math.max(0, x(band.from) - half);
        const right = Math.min(mediaSize.width, x(band.to) + half);
        if (right <= left) continue;
        context.fillStyle = clear(band.color, band.depth);
        context.fillRect(left, 0, right - left, mediaSize.height);
        context.fillStyle = band.color;
        context.fillRect(left, mediaSize.height - STRIP_PX, right - left, STRIP_PX);
      }
      if (this.chosen === null) return;
      context.fillStyle = clear(this.ink, 0.18);
      context.fillRect(x(this.chosen) - Math.max(half, 2), 0, Math.max(2 * half, 4), mediaSize.height);
      if (!this.name) return;
      context.font = this.font;
      context.textBaseline = "top";
      const wide = context.measureText(this.name).width;
      context.fillStyle = this.accent;
      context.fillText(this.name, Math.max(6, Math.min(mediaSize.width - wide - 6, x(this.chosen) - wide / 2)), 5);
    });
  }
}
