// The life of a widget: it asks for the latest word when it is drawn, and says so when it hears nothing any more.

import { h, tell } from "./dom";

/** What anywidget hands to a widget. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, callback: (content: unknown) => void): void;
  off(event: string, callback: (content: unknown) => void): void;
}

export type Plain = Record<string, unknown>;

/** What one kind of widget does with what it hears. */
export interface View {
  /** The latest state, whole. */
  state?(state: Plain): void;
  /** Any other message. */
  message?(message: Plain): void;
  /** The page goes. */
  close?(): void;
}

export interface Place {
  model: Model;
  root: HTMLElement;
  head: HTMLElement;
  body: HTMLElement;
  /** Called when nothing is heard any more, and when something is again. */
  onSilence?: (silent: boolean) => void;
  /** Whether it says by itself that nothing is heard any more. */
  saysSilence?: boolean;
  /** Whether it says for how long nothing was heard. */
  countsSilence?: boolean;
}

export const plain = (value: unknown): Plain => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Plain) : {});
export const list = (value: unknown): Plain[] => (Array.isArray(value) ? value.map(plain) : []);
export const text = (value: unknown): string => (value === null || value === undefined ? "" : String(value));

function frame(model: Model, kind: string): Place {
  const label = text(model.get("label"));
  const head = h("div", "head", label ? h("h2", "", label) : null);
  const body = h("div", "body");
  const root = h("section", `npw npw-${kind}`, head, body);
  if (model.get("framed")) root.classList.add("framed");
  root.setAttribute("aria-label", label || kind);
  return { model, root, head, body };
}

/** Greys a widget that has heard nothing for as long as its page allows, or that shows what is not of now. */
class Silence {
  private heard = performance.now();
  private ever = false;
  private old = "";
  private silent = false;
  private readonly words = h("div", "silence");
  private readonly announced = h("div", "said");
  private readonly timer = setInterval(() => this.look(), 500);

  constructor(private readonly place: Place) {
    this.announced.setAttribute("aria-live", "polite");
    place.root.prepend(this.words);
    place.root.append(this.announced);
  }

  /** Something was heard that was `age_ms` old when it was sent; `old` says why it is not of now: null for no word of that. */
  hear(age_ms: number, old: string | null): void {
    this.ever = true;
    this.heard = performance.now() - age_ms;
    this.old = old ?? this.old;
    this.look();
  }

  private look(): void {
    const allowed = Number(this.place.model.get("stale_s") ?? 0);
    const silent_s = (performance.now() - this.heard) / 1000;
    const silent = allowed > 0 && silent_s >= allowed;
    this.place.root.classList.toggle("silent", silent);
    this.place.root.classList.toggle("old", !silent && this.old !== "");
    if (silent !== this.silent) this.place.onSilence?.((this.silent = silent));
    // The strip alone counts: of many that count by themselves, two are never at the same second.
    const for_s = this.place.countsSilence ? ` for ${Math.floor(silent_s)} s` : "";
    const words = !silent ? this.old : this.ever ? `no word${for_s}: these figures are old` : `no word yet${for_s}`;
    if (this.place.saysSilence) return;
    tell(this.words, words);
    if (words === "") tell(this.announced, "");
    else if (!this.announced.textContent) tell(this.announced, words);
  }

  close(): void {
    clearInterval(this.timer);
  }
}

/** Makes an anywidget of a function that builds one view of it. */
export function widget(kind: string, build: (place: Place) => View): { render(page: { model: Model; el: HTMLElement }): () => void } {
  return {
    render({ model, el }) {
      const place = frame(model, kind);
      el.append(place.root);
      const silence = new Silence(place);
      const view = build(place);
      let last = -1;
      const hear = (content: unknown): void => {
        const message = plain(content);
        silence.hear(Number(message["age_ms"] ?? 0), "old" in message ? text(message["old"]) : null);
        if (message["type"] === "state") {
          const seq = Number(message["seq"] ?? 0);
          if (seq < last) return;
          last = seq;
          view.state?.(plain(message["state"]));
        } else if (message["type"] !== "word") view.message?.(message);
      };
      model.on("msg:custom", hear);
      model.send({ type: "ready" });
      return () => {
        model.off("msg:custom", hear);
        silence.close();
        view.close?.();
        place.root.remove();
      };
    },
  };
}
