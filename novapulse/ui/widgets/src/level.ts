// How near something is to its limit: a colour, a sign and a word, so that nothing rests on the colour.

import { h, said } from "./dom";

export const LEVELS: Record<string, { mark: string; word: string }> = {
  ok: { mark: "●", word: "ok" },
  near: { mark: "▲", word: "near" },
  over: { mark: "■", word: "over" },
  unknown: { mark: "?", word: "unknown" },
};

/** A level's mark with its word for those who hear the page. */
export function levelMark(level: string): HTMLElement {
  const { mark, word } = LEVELS[level] ?? { mark: "?", word: level };
  const sign = h("span", "", mark);
  sign.setAttribute("aria-hidden", "true");
  return h("span", `mark ${level}`, sign, said(word));
}
