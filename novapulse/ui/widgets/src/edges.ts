// Says at the edge of the prices shown which levels lie beyond it, and how far: nobody takes a stop for one that is not there.

import type { IPanePrimitive, Time } from "lightweight-charts";
import { h } from "./dom";
import { figure } from "./figures";
import { type Line, type Plot } from "./plot";

export class Edges implements IPanePrimitive<Time> {
  private readonly over = h("div", "beyond over");
  private readonly under = h("div", "beyond under");
  private told = "";

  constructor(
    private readonly plot: Plot,
    box: HTMLElement,
    private readonly digits: () => number,
  ) {
    box.append(this.over, this.under);
  }

  /** Called by the chart whenever what it shows has become another stretch of time or of prices. */
  updateAllViews(): void {
    const { over, under } = this.plot.beyond();
    const right_px = this.plot.chart.priceScale("right").width() + 6;
    const told = JSON.stringify([over, under, right_px, this.digits()]);
    if (told === this.told) return;
    this.told = told;
    const label = (arrow: string) => (line: Line): HTMLElement =>
      h("span", line.kind, `${arrow} ${line.text || line.kind} ${figure(line.price, this.digits())}`);
    this.over.replaceChildren(...over.map(label("↑")));
    this.under.replaceChildren(...under.map(label("↓")));
    for (const side of [this.over, this.under]) side.style.right = `${right_px}px`;
  }
}
