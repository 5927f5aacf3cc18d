// A button that must be held: display and request only. The server decides, and nothing goes through the kernel.

import { asked, proven, type Outcome } from "../asking";
import { Confirming, withWayBack } from "../confirming";
import { h, linked, tell } from "../dom";
import { AGAIN_MS_MAX, holdable } from "../holding";
import { plain, text, widget, type Place, type Plain } from "../live";

const HEADS: Record<Outcome["kind"], string> = {
  yes: "Done",
  no: "Refused",
  waiting: "Sent",
  closing: "Sent: being closed",
  flat: "Proven flat",
  open: "NOT proven flat: look before you press again",
  doubt: "STATE UNKNOWN: look before you press again",
};

/** How long the pages may take to show what a command brought about: a later change of the mode is news. */
const SETTLES_MS = 4000;

class Button {
  private readonly words = h("span");
  private readonly button = h("button", "", h("i"), this.words);
  private readonly hint = h("p", "hint");
  /** What became of a press that sent nothing, for those who hear the page: a description is read on focus alone. */
  private readonly announced = h("div", "said");
  private readonly outcome = h("div", "outcome");
  private readonly confirming: Confirming;
  private readonly anchor: string;
  private readonly compact: boolean;
  private readonly seconds: number;
  private readonly forget: () => void;
  private given: Plain = {};
  private busy = false;
  private silent = false;
  private presses = 0;
  private told = "";
  private settling = 0;
  private asking = 0;
  /** The mode under which the last outcome stands; null while it settles, or nothing stands there. */
  private stands: string | null = null;

  constructor(private readonly place: Place) {
    this.seconds = Math.max(0.3, Number(place.model.get("hold_s") ?? 1.2));
    this.button.type = "button";
    this.button.style.setProperty("--hold", `${this.seconds}s`);
    this.confirming = new Confirming(place.model);
    this.anchor = text(place.model.get("anchor"));
    this.compact = place.model.get("compact") === true;
    place.root.classList.toggle("compact", this.compact);
    const mark = Math.random().toString(36).slice(2);
    [this.hint.id, this.confirming.words.id] = [`np-hint-${mark}`, `np-needs-${mark}`];
    this.button.setAttribute("aria-describedby", `${this.confirming.words.id} ${this.hint.id}`);
    this.announced.setAttribute("aria-live", "assertive");
    this.outcome.setAttribute("role", "alert");
    if (place.model.get("calm")) place.root.classList.add("calm");
    place.head.replaceChildren();
    place.body.append(this.button, this.confirming.words, this.hint, this.announced, this.outcome);
    this.forget = holdable(this.button, this.seconds * 1000, {
      ready: () => !this.busy && this.allowed(),
      began: () => {
        this.forgetPress();
        this.button.classList.add("held");
        this.sayHint("Keep holding.");
      },
      ended: () => {
        this.button.classList.remove("held");
        this.announce("Let go too early: nothing was sent.");
      },
      done: () => void this.send(),
      askAgain: () => this.askAgain(),
    });
    place.saysSilence = true;
    place.onSilence = (silent) => {
      this.silent = silent;
      this.restUnlessUsed();
    };
    this.show({});
    if (this.anchor && location.hash === `#${this.anchor}`) requestAnimationFrame(() => this.comeBack());
  }

  /** Somebody comes back for this button: it is shown, and has the focus. */
  private comeBack(): void {
    this.button.focus({ preventScroll: true });
    this.button.scrollIntoView({ block: "center" });
  }

  show(state: Plain): void {
    this.given = state;
    if (this.stands !== null && this.stands !== text(state["mode"])) this.clear();
    this.restUnlessUsed();
  }

  private restUnlessUsed(): void {
    if (!this.busy && !this.button.classList.contains("held")) this.rest();
  }

  close(): void {
    this.presses = -1;
    clearTimeout(this.settling);
    clearTimeout(this.asking);
    this.confirming.close();
    this.forget();
  }

  private label(): string {
    return text(this.given["label"]) || text(this.place.model.get("label")) || "Hold";
  }

  /** What was known once forbids nothing: only a word of now does. */
  private allowed(): boolean {
    return this.silent || this.given["allowed"] !== false;
  }

  private whyNot(): string {
    return this.given["allowed"] === false ? text(this.given["why"]) || "You may look, not act." : "";
  }

  private sayHint(words: string, isNews = true): void {
    tell(this.hint, words);
    this.place.root.classList.toggle("telling", isNews);
  }

  /** Shows a hint and says it aloud; a node of its own each time, so that the same words are heard again. */
  private announce(words: string): void {
    this.sayHint(words);
    this.announced.replaceChildren(h("span", "", words));
  }

  private askAgain(): void {
    const within = `within ${AGAIN_MS_MAX / 1000} s`;
    this.announce(`Press once more ${within} to confirm: ${this.label()}`);
    this.asking = window.setTimeout(() => {
      this.asking = 0;
      this.announce(`Not pressed again ${within}: nothing was sent.`);
    }, AGAIN_MS_MAX);
  }

  private forgetPress(): void {
    clearTimeout(this.asking);
    this.asking = 0;
    this.announced.replaceChildren();
  }

  private clear(): void {
    clearTimeout(this.settling);
    this.stands = null;
    this.outcome.className = "outcome";
    this.outcome.replaceChildren();
  }

  private rest(): void {
    this.button.classList.remove("held");
    tell(this.words, this.label());
    this.button.setAttribute("aria-disabled", String(this.busy || !this.allowed()));
    const usual = `Hold ${this.seconds} s: finger, mouse or space key.`;
    const detail = text(this.given["detail"]) || text(this.place.model.get("detail"));
    this.button.title = usual;
    // What has to be pressed again goes on saying so.
    if (this.asking) return;
    const why = this.whyNot();
    if (!this.silent) return this.sayHint(why || detail || usual, why !== "");
    const does = this.compact || why ? "" : detail || usual;
    this.sayHint([does, "State not known now.", why ? `Last known: ${why}` : ""].filter(Boolean).join(" "));
  }

  private async send(): Promise<void> {
    const model = this.place.model;
    const press = ++this.presses;
    this.busy = true;
    this.forgetPress();
    this.rest();
    tell(this.words, "Sending …");
    this.sayHint("The button answers again when the outcome is known.");
    this.clear();
    const body = { ...plain(model.get("body")), ...plain(this.given["body"]) };
    const came = await asked(text(model.get("url")), text(model.get("csrf")), body, (known) => this.tellOutcome(known));
    this.busy = false;
    this.rest();
    const prove_ms = 1000 * Number(model.get("prove_s") ?? 0);
    // Meanwhile the button can be pressed again; then that press is the one that counts.
    const isLast = (): boolean => press === this.presses;
    const obeys = came.accounts.some((one) => one.kind === "yes");
    if (prove_ms === 0 || came.kind === "doubt" || came.results === null || came.accounts.length === 0) this.conclude(came);
    else if (obeys) {
      this.conclude({ ...came, kind: "closing" });
      const proof = await proven(came.results, prove_ms, isLast, (known) => isLast() && this.tellOutcome(known));
      if (isLast()) this.conclude(proof);
    } else {
      // Nothing is being closed, so nothing is waited for: what is known to be held is told beside the refusal.
      this.conclude(came);
      const known = await proven(came.results, 0, isLast, () => undefined);
      if (isLast()) this.conclude({ ...known, text: `${came.text}; ${known.text}` });
    }
  }

  private conclude(came: Outcome): void {
    const model = this.place.model;
    this.tellOutcome(came);
    model.set("outcome", { kind: came.kind, text: came.text });
    model.save_changes();
    if (came.href) void this.confirming.look();
    // What is in doubt, or not proven, stays until somebody has dealt with it.
    if (came.kind === "yes" || came.kind === "no") this.settling = window.setTimeout(() => (this.stands = text(this.given["mode"])), SETTLES_MS);
  }

  private tellOutcome(came: Outcome): void {
    const told = JSON.stringify(came);
    if ((came.kind === "waiting" || came.kind === "closing") && told === this.told) return;
    this.told = told;
    const rows = came.accounts.map((one) => h("li", one.kind, h("span", "", one.account), h("span", "", one.text)));
    const at = `${new Date().toISOString().slice(11, 19)} UTC`;
    const words = [came.text, at].filter(Boolean).join(", ");
    this.outcome.className = `outcome ${came.kind}`;
    this.outcome.replaceChildren(h("strong", "", HEADS[came.kind]), h("span", "", words));
    if (came.href) this.outcome.append(" ", linked(withWayBack(came.href, this.anchor), "", "Confirm who you are"));
    if (rows.length > 0) this.outcome.append(h("ul", "", ...rows));
    if (this.compact) this.outcome.append(this.away());
  }

  /** What lies over a page can be put away. */
  private away(): HTMLElement {
    const away = h("button", "away", "×");
    away.type = "button";
    away.setAttribute("aria-label", "Put this away");
    away.addEventListener("click", () => {
      this.clear();
      this.button.focus();
    });
    return away;
  }
}

export default widget("hold", (place) => {
  const button = new Button(place);
  return { state: (state) => button.show(state), close: () => button.close() };
});
