// A live table: columns with kinds, a filter, sorting, a link per row where it has one. At most 200 rows are drawn.

import { cell, classOf, columnOf, compared, tooltip, type Column } from "../cells";
import { Keyed, h, ownAddress, tell, tellLinked } from "../dom";
import { levelMark } from "../level";
import { list, plain, text, widget, type Place, type Plain } from "../live";

const DRAWN_MAX = 200;
const QUIET = matchMedia("(prefers-reduced-motion: reduce)");

class Table {
  private columns: Column[] = [];
  private rows: Plain[] = [];
  private keyField = "key";
  private sorted: { key: string; down: boolean } | null = null;
  private table: Keyed<Plain> | null = null;
  private readonly heading = h("tr");
  private readonly content = h("tbody");
  private readonly filter = h("input");
  private readonly count = h("span", "small");
  private readonly none = h("p", "none");
  private readonly more = h("p", "small more");

  constructor(place: Place) {
    this.filter.type = "search";
    this.filter.placeholder = "filter";
    this.filter.setAttribute("aria-label", `filter ${text(place.model.get("label"))}`);
    this.filter.addEventListener("input", () => this.draw());
    place.head.append(h("div", "tools", this.count, this.filter));
    const table = h("table", "", h("thead", "", this.heading), this.content);
    table.setAttribute("role", "table");
    table.setAttribute("aria-label", text(place.model.get("label")) || "table");
    const scroll = h("div", "scroll", table);
    const tall = Number(place.model.get("height") ?? 0);
    if (tall > 0) scroll.style.setProperty("--tall", `${tall}px`);
    place.body.append(scroll, this.none, this.more);
  }

  show(state: Plain): void {
    const columns = list(state["columns"]).map(columnOf);
    this.keyField = text(state["key_field"]) || "key";
    if (JSON.stringify(columns) !== JSON.stringify(this.columns)) this.begin(columns);
    this.rows = list(state["rows"]);
    tell(this.none, text(state["none"]) || "Nothing to show.");
    this.draw();
  }

  private begin(columns: Column[]): void {
    this.columns = columns;
    this.content.replaceChildren();
    this.table = new Keyed<Plain>(this.content, () => this.makeRow());
    this.heading.replaceChildren(...columns.map((column) => this.makeHead(column)));
  }

  private makeHead(column: Column): HTMLElement {
    const button = h("button", "", column.label);
    button.type = "button";
    const head = h("th", classOf(column).replace("wide", ""), button);
    head.scope = "col";
    button.addEventListener("click", () => {
      const same = this.sorted?.key === column.key;
      if (same && !this.sorted?.down) this.sorted = null;
      else this.sorted = { key: column.key, down: !same };
      for (const [at, other] of [...this.heading.children].entries()) {
        const by = this.sorted?.key === this.columns[at]?.key ? this.sorted : null;
        other.setAttribute("aria-sort", by ? (by.down ? "descending" : "ascending") : "none");
      }
      this.draw();
    });
    return head;
  }

  private makeRow(): { element: HTMLElement; update: (row: Plain) => void } {
    const cells = this.columns.map((column) => {
      const made = h("td", classOf(column));
      made.dataset["label"] = column.label;
      made.setAttribute("role", "cell");
      return made;
    });
    const element = h("tr", "", ...cells);
    element.setAttribute("role", "row");
    let fresh = true;
    const update = (row: Plain): void => {
      const level = text(row["level"]);
      element.className = level;
      for (const [at, column] of this.columns.entries()) {
        const target = cells[at];
        if (target) this.fill(target, column, row, at === 0, fresh);
      }
      fresh = false;
    };
    return { element, update };
  }

  private fill(target: HTMLElement, column: Column, row: Plain, first: boolean, fresh: boolean): void {
    const [shown, color] = cell(column, row);
    const names = [classOf(column), color].filter(Boolean).join(" ");
    const changed = first ? this.fillFirst(target, shown, row) : tellLinked(target, shown, plain(row["hrefs"])[column.key]);
    if (target.className !== names) target.className = names;
    const hint = tooltip(column, row[column.key]);
    if (target.title !== hint) target.title = hint;
    if (changed && !fresh && column.kind !== "age" && !QUIET.matches) {
      const tint = "color-mix(in srgb, var(--accent) 22%, transparent)";
      target.animate([{ backgroundColor: tint }, { backgroundColor: "transparent" }], { duration: 700, easing: "ease-out" });
    }
  }

  /** The first cell leads on where there is somewhere to go, and its mark says how the row is; tells whether its text changed. */
  private fillFirst(target: HTMLElement, shown: string, row: Plain): boolean {
    const href = ownAddress(row["href"]);
    const level = text(row["level"]);
    const tag = href !== null ? "a" : "span";
    let inner = target.lastElementChild;
    if (!(inner instanceof HTMLElement) || inner.localName !== tag) {
      inner = h(tag);
      target.replaceChildren(inner);
    }
    const mark = inner.previousElementSibling;
    if ((mark?.getAttribute("data-level") ?? "") !== level) {
      mark?.remove();
      if (level) {
        const sign = levelMark(level);
        sign.dataset["level"] = level;
        target.prepend(sign);
      }
    }
    const changed = inner.textContent !== shown;
    tell(inner as HTMLElement, shown);
    if (inner instanceof HTMLAnchorElement && href !== null) inner.href = href;
    return changed;
  }

  private draw(): void {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const written = (row: Plain): string => this.columns.map((column) => cell(column, row)[0]).join(" ").toLowerCase();
    let rows = words.length === 0 ? this.rows : this.rows.filter((row) => words.every((word) => written(row).includes(word)));
    const sorted = this.sorted;
    if (sorted) rows = [...rows].sort((a, b) => compared(a[sorted.key], b[sorted.key], sorted.down));
    const drawn = rows.slice(0, DRAWN_MAX);
    this.table?.show(drawn.map((row) => [text(row[this.keyField]), row]));
    const all = this.rows.length;
    this.heading.hidden = all === 0;
    this.none.hidden = rows.length > 0;
    if (all > 0 && rows.length === 0) tell(this.none, "No row holds these words.");
    tell(this.count, words.length ? `${rows.length} of ${all}` : all > 0 ? String(all) : "");
    tell(this.more, rows.length > drawn.length ? `The first ${drawn.length} of ${rows.length} rows. Filter to see others.` : "");
    this.filter.hidden = all < 6 && words.length === 0;
  }
}

export default widget("rows", (place) => {
  const table = new Table(place);
  return { state: (state) => table.show(state) };
});
