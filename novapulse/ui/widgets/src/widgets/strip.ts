// One line for the trader and every account: who, with what money, how it is, how old its last bar is, and which ledger.

import { Keyed, h, linked, ownAddress, tell } from "../dom";
import { lasting, number } from "../figures";
import { list, plain, text, widget, type Place, type Plain } from "../live";

const ASK_AGAIN_MS = 5000;
const ANSWER_MS_MAX = 4000;

const MARKS: Record<string, string> = { good: "●", wary: "▲", bad: "■" };

function health(one: Plain): [string, string] {
  if (one["healthy"] === true) return ["good", "healthy"];
  if (one["healthy"] === false) return ["bad", "not healthy"];
  return ["wary", "health not known"];
}

function makeChip(): { element: HTMLElement; update: (one: Plain) => void } {
  const name = h("b");
  const money = h("span", "chip");
  const mode = h("span", "chip");
  const bars = h("span", "chip bars");
  const state = h("span", "health");
  const age = h("span", "age");
  const parts = [name, money, mode, bars, state, age];
  const element = h("li");
  let box: HTMLElement | null = null;

  const update = (one: Plain): void => {
    const href = ownAddress(one["href"]);
    if (!box || (box instanceof HTMLAnchorElement ? box.href : null) !== href) {
      box = href === null ? h("div", "", ...parts) : h("a", "", ...parts);
      if (box instanceof HTMLAnchorElement && href !== null) box.href = href;
      element.replaceChildren(box);
    }
    const [kind, word] = one["trader"] && one["running"] === false ? ["bad", "not running"] : health(one);
    box.className = `one ${kind}`;
    tell(name, text(one["trader"]) || `${text(one["exchange"])} · ${text(one["account_id"])}`);
    tell(money, text(one["money"]), `chip ${text(one["money"]).toLowerCase()}`);
    const usual = ["", "normal"].includes(text(one["mode"]).toLowerCase());
    tell(mode, usual ? "" : text(one["mode"]).replaceAll("_", " "), "chip held");
    tell(bars, text(one["bars"]));
    tell(state, `${MARKS[kind] ?? ""} ${word}`);
    const seconds = one["trader"] ? one["heartbeat_age_s"] : one["last_bar_age_s"];
    const told = number(seconds) === null ? "bar age not known" : `bar ${lasting(seconds)} ago`;
    tell(age, one["trader"] ? (number(seconds) === null ? "" : `beat ${lasting(seconds)} ago`) : told);
  };
  return { element, update };
}

/** Asks whether the person is still signed in while nothing is heard, and leads to where one signs in again. */
function watchSession({ model, root }: Place): { silent: (silent: boolean) => void; close: () => void } {
  const words = root.insertBefore(h("p", "out"), root.firstChild);
  words.setAttribute("role", "alert");
  words.hidden = true;
  let timer = 0;
  const ask = async (): Promise<void> => {
    const url = ownAddress(model.get("session_url"));
    if (url === null) return;
    const answer = await fetch(url, { credentials: "same-origin", signal: AbortSignal.timeout(ANSWER_MS_MAX) }).catch(() => null);
    if (answer?.status !== 401 || timer === 0) return;
    const login = `/login?next=${encodeURIComponent(`${location.pathname}${location.search}`)}`;
    words.replaceChildren("You are signed out: nothing here is current. ", linked(login, "", "Sign in again"));
    words.hidden = false;
  };
  const close = (): void => {
    clearInterval(timer);
    timer = 0;
    words.hidden = true;
  };
  const silent = (silent: boolean): void => {
    close();
    if (!silent) return;
    timer = window.setInterval(() => void ask(), ASK_AGAIN_MS);
    void ask();
  };
  return { silent, close };
}

export default widget("strip", (place) => {
  const { body } = place;
  const session = watchSession(place);
  place.onSilence = session.silent;
  place.countsSilence = true;
  const all = body.appendChild(h("ul", "all"));
  const chips = new Keyed<Plain>(all, makeChip);
  const code = h("code");
  const ledger = h("li", "ledger", h("div", "one", h("span", "", "ledger"), code));
  const reasons = body.appendChild(h("ul", "reasons"));
  return {
    close: session.close,
    state: (state) => {
      const trader = plain(state["trader"]);
      const accounts = list(state["accounts"]);
      ledger.remove();
      chips.show([
        ["trader", { ...trader, trader: "Trader" }],
        ...accounts.map((one): [string, Plain] => [JSON.stringify([one["exchange"], one["account_id"]]), one]),
      ]);
      const id = text(state["ledger_id"]);
      // The head of the page names the ledger already, unless it has become another one.
      if (!id || id !== text(state["ledger_named"])) all.append(ledger);
      tell(code, id ? id.slice(0, 8) : "not known");
      ledger.title = [id, text(state["ledger_place"])].filter(Boolean).join("\n");
      const said = (whose: string, one: Plain): HTMLElement[] =>
        (Array.isArray(one["reasons"]) ? one["reasons"] : []).map((reason) => h("li", "", `${whose}: ${text(reason)}`));
      reasons.replaceChildren(
        ...said("trader", trader),
        ...accounts.flatMap((one) => said(`${text(one["exchange"])} · ${text(one["account_id"])}`, one)),
      );
    },
  };
});
