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

function holds(place: DOMRect, at: PointerEvent): boolean {
  return at.clientX >= place.left && at.clientX <= place.right && at.clientY >= place.top && at.clientY <= place.bottom;
}

/** Lets a button be held; returns what forgets it again. */
export function holdable(button: HTMLElement, hold_ms: number, holder: Holder): () => void {
  let timer = 0;
  let firstPress = -Infinity;
  let heldSince = -Infinity;
  /** When the finger or key went down by the browser's own clock, which a busy page cannot hold up, ms. */
  let downAt_ms = 0;
  /** Where a press began: the finger lets go by leaving this place, even if the button has moved on. */
  let place: DOMRect | null = null;

  const begin = (event: Event): void => {
    if (timer || !holder.ready()) return;
    heldSince = performance.now();
    downAt_ms = event.timeStamp;
    holder.began();
    timer = window.setTimeout(finish, hold_ms);
  };
  const finish = (): void => {
    clearTimeout(timer);
    timer = 0;
    holder.done();
  };
  const end = (): void => {
    if (!timer) return;
    clearTimeout(timer);
    timer = 0;
    holder.ended();
  };
  const letGo = (event: Event): void => {
    if (timer && event.timeStamp - downAt_ms >= hold_ms) finish();
    else end();
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
    if (event.button !== 0 || !event.isPrimary) return;
    begin(event);
    place = button.getBoundingClientRect();
    button.setPointerCapture(event.pointerId);
  });
  button.addEventListener("lostpointercapture", () => (place = null));
  button.addEventListener("pointermove", (event) => {
    if (place && !holds(place, event)) end();
  });
  button.addEventListener("pointerup", letGo);
  for (const name of ["pointercancel", "blur"]) button.addEventListener(name, end);
  button.addEventListener("keydown", (event) => {
    if (!isKey(event)) return;
    event.preventDefault();
    if (!event.repeat) begin(event);
  });
  button.addEventListener("keyup", (event) => {
    if (!isKey(event)) return;
    event.preventDefault();
    letGo(event);
  });
  button.addEventListener("click", pressed);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  return () => clearTimeout(timer);
}
