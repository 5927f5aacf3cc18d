// One request that changes something, and what came of it. Anything but an explicit yes or an explicit no is doubt.

import { ownAddress } from "./dom";
import { list, plain, text, type Plain } from "./live";

export const ANSWER_MS_MAX = 4000;
const RESULTS_MS_MAX = 10_000;
const LOOK_AGAIN_MS = 400;
const PROVE_AGAIN_MS = 1000;

export interface AccountResult {
  account: string;
  kind: "yes" | "no" | "doubt";
  text: string;
}

/** What came of a press. After `closing`, which only says that positions are being closed, comes `flat` or `open`. */
export interface Outcome {
  kind: "yes" | "no" | "doubt" | "waiting" | "closing" | "flat" | "open";
  text: string;
  accounts: AccountResult[];
  href: string | null;
  /** Where its results are read; null where nothing was taken. */
  results: string | null;
}

const KINDS: Record<string, AccountResult["kind"]> = { done: "yes", refused: "no" };

function doubt(reason: string): Outcome {
  return { kind: "doubt", text: reason, accounts: [], href: null, results: null };
}

function results(answer: Plain): AccountResult[] {
  return list(answer["accounts"]).map((one) => {
    const outcome = text(one["outcome"]);
    const kind = KINDS[outcome] ?? "doubt";
    const words = text(one["text"]) || (kind === "doubt" ? "no answer" : outcome);
    return { account: `${text(one["exchange"])} · ${text(one["account_id"])}`, kind, text: words };
  });
}

async function answerOf(url: string, init: RequestInit, limit_ms: number): Promise<[Response, Plain]> {
  const response = await fetch(url, { ...init, credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(limit_ms) });
  return [response, plain(await response.json())];
}

function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === "TimeoutError") return `no answer within ${ANSWER_MS_MAX / 1000} s`;
  return error instanceof SyntaxError ? "the answer could not be read" : "the server could not be reached";
}

const someOf = (some: number, all: number): string => (all === 1 ? "the account" : `${some} of ${all} accounts`);

function concluded(answer: Plain, results_url: string | null): Outcome {
  const accounts = results(answer);
  const open = accounts.filter((one) => one.kind === "doubt").length;
  if (answer["done"] !== true) return { ...doubt(`no result within ${RESULTS_MS_MAX / 1000} s`), accounts };
  if (open > 0) return { ...doubt(accounts.length === 1 ? "the account did not say what it did" : `${open} of ${accounts.length} accounts did not say what they did`), accounts };
  const refused = accounts.filter((one) => one.kind === "no").length;
  const words = refused > 0 ? `${someOf(refused, accounts.length)} refused` : text(answer["text"]);
  return { kind: refused > 0 ? "no" : "yes", text: words, accounts, href: null, results: results_url };
}

async function followed(first: Plain, said: (outcome: Outcome) => void): Promise<Outcome> {
  const url = ownAddress(first["results_url"]);
  const until = performance.now() + RESULTS_MS_MAX;
  let answer = first;
  while (answer["done"] !== true && url !== null && performance.now() < until) {
    said({ kind: "waiting", text: "taken; waiting for the accounts", accounts: results(answer), href: null, results: url });
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    const [response, later] = await answerOf(url, {}, ANSWER_MS_MAX);
    if (!response.ok) return { ...doubt(`its result could not be read (${response.status})`), accounts: results(answer) };
    answer = later;
  }
  return concluded(answer, url);
}

/** 128 random bits: a page that is not served by TLS has no `randomUUID`. */
function pressKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Sends one order of a person and says what came of it, and what is known meanwhile. */
export async function asked(url: string, csrf: string, body: unknown, said: (outcome: Outcome) => void): Promise<Outcome> {
  const own = ownAddress(url);
  if (own === null) return doubt("its address is not one of this site");
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-CSRF": csrf, "Idempotency-Key": pressKey() };
  try {
    const [response, answer] = await answerOf(own, { method: "POST", headers, body: JSON.stringify(body) }, ANSWER_MS_MAX);
    if (response.ok && answer["accepted"] === true) {
      return await followed(answer, said);
    }
    if (response.status >= 400 && response.status < 500 && typeof answer["refused"] === "string") {
      return { kind: "no", text: answer["refused"], accounts: [], href: text(answer["href"]) || null, results: null };
    }
    return doubt(`the server answered ${response.status} without a yes`);
  } catch (error) {
    return doubt(reasonOf(error));
  }
}

function proofOf(answer: Plain, results_url: string): Outcome {
  const accounts = list(answer["accounts"]).map((one): AccountResult => {
    const reasons = Array.isArray(one["reasons"]) ? one["reasons"].map(text).join("; ") : "";
    const flat = one["flat"] === true;
    return { account: `${text(one["exchange"])} · ${text(one["account_id"])}`, kind: flat ? "yes" : "doubt", text: flat ? "flat" : reasons || "not proven" };
  });
  const open = accounts.filter((one) => one.kind !== "yes").length;
  const isFlat = answer["flat"] === true && open === 0;
  const words = isFlat ? "ledger and trader agree" : `${someOf(open, accounts.length)} ${accounts.length === 1 ? "is" : "are"} not proven flat`;
  return { kind: isFlat ? "flat" : "open", text: words, accounts, href: null, results: results_url };
}

/** Asks for the proof that the accounts of an order are flat, until there is one, `limit_ms` are over, or nobody waits. */
export async function proven(results_url: string, limit_ms: number, waits: () => boolean, said: (outcome: Outcome) => void): Promise<Outcome> {
  const until = performance.now() + limit_ms;
  for (;;) {
    let found: Outcome;
    try {
      const [response, answer] = await answerOf(`${results_url}/proof`, {}, ANSWER_MS_MAX);
      const unread: Outcome = { ...doubt(`the proof could not be read (${response.status})`), kind: "open", results: results_url };
      found = response.ok ? proofOf(answer, results_url) : unread;
    } catch (error) {
      found = { ...doubt(reasonOf(error)), kind: "open", results: results_url };
    }
    if (found.kind === "flat" || !waits() || performance.now() + PROVE_AGAIN_MS > until) return found;
    said({ ...found, kind: "closing" });
    await new Promise((resolve) => setTimeout(resolve, PROVE_AGAIN_MS));
  }
}
