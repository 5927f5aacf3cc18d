// The order book: levels with their depth, the spread between them, and which side of what is shown is heavier.

import { Keyed, h, tell } from "../dom";
import { UNKNOWN, digitsOf, figure, number } from "../figures";
import { text, widget, type Plain } from "../live";

interface Level {
  price: unknown;
  qty: unknown;
  sum: number;
  share: number;
  sumShare: number;
}

/** Two figures of what is small: a spread of 0.0016 is not 0. */
const bpsText = (bps: number): string => (bps > 0 && bps < 0.1 ? Number(bps.toPrecision(2)).toFixed(-Math.floor(Math.log10(bps)) + 1) : bps.toFixed(2));

type Shown = Level & { priceDigits: number; qtyDigits: number };

/** A part of the table as those hear it who do not see it: its look takes the meaning from the tags alone. */
function part<K extends keyof HTMLElementTagNameMap>(tag: K, role: string, names: string, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const made = h(tag, names, ...children);
  made.setAttribute("role", role);
  return made;
}

function makeRow(side: string): { element: HTMLElement; update: (level: Shown) => void } {
  const [bar, sumBar] = [h("i"), h("i", "total")];
  const [price, qty, sum] = [part("td", "cell", "price"), part("td", "cell", "qty"), part("td", "cell", "sum")];
  const whose = part("th", "rowheader", "side", sumBar, bar, h("span", "", side));
  whose.scope = "row";
  const element = part("tr", "row", `row ${side}`, whose, price, qty, sum);
  return {
    element,
    update: (level) => {
      tell(price, figure(level.price, level.priceDigits));
      tell(qty, figure(level.qty, level.qtyDigits));
      tell(sum, figure(level.sum.toFixed(level.qtyDigits)));
      bar.style.width = `${(100 * level.share).toFixed(1)}%`;
      sumBar.style.width = `${(100 * level.sumShare).toFixed(1)}%`;
    },
  };
}

function columnHead(name: string): HTMLElement {
  const made = part("th", "columnheader", "", name);
  made.scope = "col";
  return made;
}

function pairs(value: unknown, depth: number): [unknown, unknown][] {
  const all = Array.isArray(value) ? value : [];
  return all.filter((level): level is [unknown, unknown] => Array.isArray(level) && number(level[0]) !== null && number(level[1]) !== null).slice(0, depth);
}

function levels(side: [unknown, unknown][]): Level[] {
  let sum = 0;
  return side.map(([price, qty]) => ({ price, qty, sum: (sum += number(qty) ?? 0), share: 0, sumShare: 0 }));
}

function scaled(asks: Level[], bids: Level[]): void {
  const all = [...asks, ...bids];
  const most = Math.max(...all.map((level) => number(level.qty) ?? 0), 0) || 1;
  const mostSum = Math.max(...all.map((level) => level.sum), 0) || 1;
  for (const level of all) {
    level.share = (number(level.qty) ?? 0) / most;
    level.sumShare = level.sum / mostSum;
  }
}

export default widget("ladder", ({ model, head, body }) => {
  const symbol = head.appendChild(h("span", "small"));
  const [askBox, bidBox] = [part("tbody", "rowgroup", ""), part("tbody", "rowgroup", "")];
  const [middle, spread] = [h("b"), h("span")];
  const [bidShare, askShare, lean] = [h("span", "bid"), h("span", "ask"), h("i")];
  const track = h("div", "track", lean);
  const leaning = h("div", "lean", bidShare, track, askShare);
  const none = h("p", "none", "No book has been received.");
  const caption = part("caption", "caption", "said");
  const named = ["side", "price", "qty", "sum"].map(columnHead);
  const heads = part("tr", "row", "row top", ...named);
  const between = part("td", "cell", "middle", middle, spread);
  between.colSpan = 4;
  between.setAttribute("aria-colspan", "4");
  const table = part(
    "table",
    "table",
    "",
    caption,
    part("thead", "rowgroup", "", heads),
    askBox,
    part("tbody", "rowgroup", "", part("tr", "row", "", between)),
    bidBox,
  );
  const book = h("div", "", table, leaning);
  body.append(none, book);
  const asks = new Keyed<Shown>(askBox, () => makeRow("ask"));
  const bids = new Keyed<Shown>(bidBox, () => makeRow("bid"));

  const state = (given: Plain): void => {
    const depth = Number(model.get("depth") ?? 10);
    const [askPairs, bidPairs] = [pairs(given["asks"], depth), pairs(given["bids"], depth)];
    const [sells, buys] = [levels(askPairs), levels(bidPairs)];
    scaled(sells, buys);
    const priceDigits = number(given["price_digits"]) ?? digitsOf([...askPairs, ...bidPairs].map(([price]) => price));
    const qtyDigits = number(given["qty_digits"]) ?? Math.min(4, digitsOf([...askPairs, ...bidPairs].map(([, qty]) => qty)));
    const rows = (side: Level[]): [string, Shown][] =>
      side.map((level, at) => [String(at), { ...level, priceDigits, qtyDigits }]);
    tell(symbol, text(given["symbol"]));
    for (const [at, [name, asset]] of [["price", given["quote"]], ["qty", given["base"]], ["sum", given["base"]]].entries()) {
      const head = named[at + 1];
      if (head) tell(head, asset ? `${text(name)}, ${text(asset)}` : text(name));
    }
    tell(caption, `Order book${given["symbol"] ? ` of ${text(given["symbol"])}` : ""}, asks down to the best one, then bids from the best one down`);
    none.hidden = sells.length + buys.length > 0;
    book.hidden = !none.hidden;
    asks.show(rows(sells).reverse());
    bids.show(rows(buys));
    const [ask, bid] = [number(askPairs[0]?.[0]), number(bidPairs[0]?.[0])];
    const both = ask !== null && bid !== null;
    tell(middle, both ? figure(((ask + bid) / 2).toFixed(priceDigits + 1), priceDigits + 1) : "one side only");
    const bps = both ? ((ask - bid) / ((ask + bid) / 2)) * 1e4 : null;
    const crossed = both && bid >= ask;
    tell(spread, crossed ? "crossed" : both ? `spread ${figure((ask - bid).toFixed(priceDigits))}, ${bpsText(bps ?? 0)} bps` : UNKNOWN);
    const [sold, bought] = [sells.at(-1)?.sum ?? 0, buys.at(-1)?.sum ?? 0];
    leaning.hidden = sold + bought <= 0;
    const share = leaning.hidden ? 0 : bought / (bought + sold);
    lean.style.width = `${(100 * share).toFixed(1)}%`;
    tell(bidShare, `▲ bid ${(100 * share).toFixed(0)} %`, "bid");
    tell(askShare, `${(100 - 100 * share).toFixed(0)} % ask ▼`, "ask");
    track.title = "share of the quantity shown that is bid";
  };
  state({});
  return { state };
});
