// What wants the password once more says so before it is held, and leads to where it is given and back to its button.

import { h, linked, ownAddress } from "./dom";
import { plain, text, type Model } from "./live";

const ANSWER_MS_MAX = 4000;
const TIMER_MS_MAX = 2 ** 31 - 1;

/** An address of this site, told where to come back to: this page, and the place of it that is named. */
export function withWayBack(address: string, anchor: string): string {
  const here = `${location.pathname}${location.search}${anchor ? `#${anchor}` : ""}`;
  return `${address}${address.includes("?") ? "&" : "?"}next=${encodeURIComponent(here)}`;
}

/** How long the password still counts as just given, ms by the server's own clock; null where that is not known. */
async function confirmedFor(url: string): Promise<number | null> {
  try {
    const answer = await fetch(url, { credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    const until_ns = plain(await answer.json())["step_up_until_ns"];
    const now_ms = Date.parse(answer.headers.get("date") ?? "");
    if (!answer.ok || typeof until_ns !== "number") return null;
    return until_ns / 1e6 - (Number.isNaN(now_ms) ? Date.now() : now_ms);
  } catch {
    return null;
  }
}

export class Confirming {
  readonly words = h("p", "needs");
  private timer = 0;
  private closed = false;

  constructor(private readonly model: Model) {
    document.addEventListener("visibilitychange", this.seen);
    window.addEventListener("pageshow", this.seen);
    void this.look();
  }

  private readonly seen = (): void => {
    if (document.visibilityState === "visible") void this.look();
  };

  /** Asks anew; where nothing is known nothing is said, as the server decides in any case. */
  async look(): Promise<void> {
    const [session, confirm] = [ownAddress(this.model.get("session_url")), text(this.model.get("confirm_url"))];
    if (session === null || confirm === "") return;
    const left_ms = await confirmedFor(session);
    if (this.closed) return;
    clearTimeout(this.timer);
    if (left_ms !== null && left_ms > 0) this.timer = window.setTimeout(() => void this.look(), Math.min(left_ms + 1000, TIMER_MS_MAX));
    if (left_ms === null || left_ms > 0) this.words.replaceChildren();
    else {
      const link = linked(withWayBack(confirm, text(this.model.get("anchor"))), "", "give it now");
      this.words.replaceChildren("Needs your password once more: ", link, ".");
    }
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
    window.removeEventListener("pageshow", this.seen);
  }
}
