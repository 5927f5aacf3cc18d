// What counts as holding a button: a finger, a mouse, or the space or enter key, for as long as it takes.

export interface Holder {
  /** Whether holding may begin. */
  ready(): boolean;
  began(): void;
  /** Let go before the time was over. */
  ended(): void;
  /** Held to the end. */
  done(): void;
  /** Pressed by something that cannot hold, such as a screen reader: it has to press again. */
  askAgain(): void;
}

export const AGAIN_MS_MAX = 8000;

/** Lets a button be held; returns what forgets it again. */
export function holdable(button: HTMLElement, hold_ms: number, holder: Holder): () => void {
  let timer = 0;
  let firstPress = -Infinity;
  let heldSince = -Infinity;

  const begin = (): void => {
    if (timer || !holder.ready()) return;
    heldSince = performance.now();
    holder.began();
    timer = window.setTimeout(() => {
      timer = 0;
      holder.done();
    }, hold_ms);
  };
  const end = (): void => {
    if (!timer) return;
    clearTimeout(timer);
    timer = 0;
    holder.ended();
  };
  const isKey = (event: KeyboardEvent): boolean => event.key === " " || event.key === "Enter";
  const pressed = (event: MouseEvent): void => {
    const wasHeld = performance.now() - heldSince < hold_ms + AGAIN_MS_MAX;
    if (event.detail !== 0 || wasHeld || !holder.ready()) return;
    const waited = performance.now() - firstPress;
    if (waited >= hold_ms && waited <= AGAIN_MS_MAX) {
      firstPress = -Infinity;
      holder.done();
    } else if (waited > AGAIN_MS_MAX) {
      firstPress = performance.now();
      holder.askAgain();
    }
  };

  button.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.isPrimary) begin();
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave", "blur"]) button.addEventListener(name, end);
  button.addEventListener("keydown", (event) => {
    if (!isKey(event)) return;
    event.preventDefault();
    if (!event.repeat) begin();
  });
  button.addEventListener("keyup", (event) => {
    if (!isKey(event)) return;
    event.preventDefault();
    end();
  });
  button.addEventListener("click", pressed);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  return () => clearTimeout(timer);
}
