// A lane of colour per strategy over the chart: blue where it voted long, orange where it voted short, fainter where weaker.
// Its name stands above its cells, and so over none of them.

import type { CanvasRenderingTarget2D } from "fancy-canvas";
import type { IChartApi, IPanePrimitive, IPanePrimitivePaneView, Time } from "lightweight-charts";
import { UNKNOWN, signed } from "./figures";
import { clear, type Palette } from "./palette";

export const LANE_PX = 20;
const FORECAST_MAX = 20;
const ABOVE_PX = 4;
const NAME_PX = 12;
const CELL_PX = 5;

export class Lanes implements IPanePrimitive<Time> {
  names: string[] = [];
  /** Whether the first lane alone is drawn; all are said. */
  folded = false;
  /** The bar whose votes are written out. */
  read: number | null = null;
  private update: () => void = () => undefined;
  private readonly views: readonly IPanePrimitivePaneView[];

  constructor(
    private readonly chart: IChartApi,
    private readonly palette: () => Palette,
    /** The vote of a lane on the bar of a place; NaN where there was none. */
    private readonly vote: (lane: number, place: number) => number,
    /** Told whenever the lanes were painted. */
    private readonly painted: () => void,
  ) {
    const draw = (target: CanvasRenderingTarget2D): void => this.draw(target);
    this.views = [{ renderer: () => ({ draw }) }];
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

  get drawn(): string[] {
    return this.folded ? this.names.slice(0, 1) : this.names;
  }

  /** What each lane says of a bar, for those who hear the page. */
  words(place: number): string[] {
    return this.names.map((name, lane) => `${name.replaceAll("_", " ")} ${this.figure(lane, place) ?? "no vote"}`);
  }

  private figure(lane: number, place: number): string | null {
    const vote = this.vote(lane, place);
    return Number.isFinite(vote) ? signed(vote, 1) : null;
  }

  private draw(target: CanvasRenderingTarget2D): void {
    const colors = this.palette();
    const scale = this.chart.timeScale();
    const shown = scale.getVisibleLogicalRange();
    if (!shown) return;
    const spacing = scale.options().barSpacing;
    const stride = Math.max(1, Math.floor(1 / spacing));
    const first = Math.max(0, Math.floor(shown.from / stride) * stride);
    const x = (place: number): number => Number(scale.logicalToCoordinate(place as never) ?? -1e6);
    target.useMediaCoordinateSpace(({ context }) => {
      context.font = `11px ${colors.font}`;
      context.textBaseline = "middle";
      for (const lane of this.drawn.keys()) {
        const top = ABOVE_PX + lane * LANE_PX;
        for (let place = first; place <= shown.to; place += stride) {
          const vote = this.strongest(lane, place, stride);
          if (!vote) continue;
          const share = Math.min(1, Math.abs(vote) / FORECAST_MAX);
          context.fillStyle = clear(vote > 0 ? colors.gain : colors.loss, 0.25 + 0.75 * share);
          context.fillRect(x(place) - spacing / 2, top + NAME_PX, Math.max(1, spacing * stride - (spacing > 4 ? 1 : 0)), CELL_PX);
        }
        this.write(context, lane, top, colors);
      }
    });
    this.painted();
  }

  private write(context: CanvasRenderingContext2D, lane: number, top: number, colors: Palette): void {
    const vote = this.read === null ? NaN : this.vote(lane, this.read);
    const value = (this.read === null ? null : this.figure(lane, this.read)) ?? UNKNOWN;
    const name = (this.names[lane] ?? "").replaceAll("_", " ");
    const middle = top + NAME_PX / 2;
    context.fillStyle = colors.muted;
    context.fillText(name, 6, middle);
    const after = 6 + context.measureText(`${name}  `).width;
    context.fillStyle = !vote ? colors.muted : vote > 0 ? colors.gain : colors.loss;
    context.fillText(value, after, middle);
  }

  private strongest(lane: number, from: number, stride: number): number {
    let most = 0;
    for (let place = from; place < from + stride; place++) {
      const vote = this.vote(lane, place);
      if (Math.abs(vote) > Math.abs(most)) most = vote;
    }
    return most;
  }
}
