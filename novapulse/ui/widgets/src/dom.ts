// Elements whose text is text: nothing here, or anywhere in the widgets, reads markup from data.

type Child = Node | string | null;

/** An element with a class and children; strings become text. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, names = "", ...children: Child[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (names) made.className = names;
  made.append(...children.filter((child): child is Node | string => child !== null));
  return made;
}

/** Sets text and class where they differ, so that nothing is laid out anew for nothing. */
export function tell(target: HTMLElement, text: string, names?: string): void {
  if (target.textContent !== text) target.textContent = text;
  if (names !== undefined && target.className !== names) target.className = names;
}

/** Words for those who hear the page. */
export function said(text: string): HTMLElement {
  return h("span", "said", text);
}

/** An address of this site, or nothing: data may name no other place and no script. */
export function ownAddress(address: unknown): string | null {
  if (typeof address !== "string" || address === "") return null;
  if (!URL.canParse(address, document.baseURI)) return null;
  const url = new URL(address, document.baseURI);
  return url.origin === location.origin && /^https?:$/.test(url.protocol) ? url.href : null;
}

/** A link where there is an address of this site, a span otherwise. */
export function linked(address: unknown, names: string, ...children: Child[]): HTMLElement {
  const href = ownAddress(address);
  if (href === null) return h("span", names, ...children);
  const link = h("a", names, ...children);
  link.href = href;
  return link;
}

/** Says a text that leads somewhere where it has an address, in the link that is there: a focus on it stays. Tells whether the text changed. */
export function tellLinked(target: HTMLElement, shown: string, address: unknown): boolean {
  const changed = target.textContent !== shown;
  const href = ownAddress(address);
  const inner = target.firstElementChild;
  if (href === null) {
    if (inner) target.replaceChildren();
    tell(target, shown);
  } else if (inner instanceof HTMLAnchorElement) {
    tell(inner, shown);
    if (inner.href !== href) inner.href = href;
  } else {
    target.replaceChildren(linked(href, "", shown));
  }
  return changed;
}

/** Items by key; one whose key was there before gets a key of its own: nothing that is to be shown is dropped. */
function apart<T>(items: readonly (readonly [string, T])[]): [string, T][] {
  const seen = new Map<string, number>();
  return items.map(([key, item]) => {
    const times = seen.get(key) ?? 0;
    seen.set(key, times + 1);
    return [times > 0 ? `${key}\u0000${times}` : key, item];
  });
}

/** Children of a parent by key: those that stay keep their element, and with it focus and selection. */
export class Keyed<T> {
  private readonly known = new Map<string, { element: HTMLElement; update: (item: T) => void }>();

  constructor(
    private readonly parent: HTMLElement,
    private readonly make: (key: string) => { element: HTMLElement; update: (item: T) => void },
  ) {}

  show(given: readonly (readonly [string, T])[]): void {
    const items = apart(given);
    const root = this.parent.getRootNode() as Document | ShadowRoot;
    const focused = root.activeElement;
    const wanted = new Set(items.map(([key]) => key));
    for (const [key, { element }] of this.known) {
      if (wanted.has(key)) continue;
      element.remove();
      this.known.delete(key);
    }
    let place: ChildNode | null = this.parent.firstChild;
    for (const [key, item] of items) {
      let entry = this.known.get(key);
      if (!entry) this.known.set(key, (entry = this.make(key)));
      entry.update(item);
      if (entry.element === place) place = place.nextSibling;
      else this.parent.insertBefore(entry.element, place);
    }
    if (focused !== root.activeElement && focused instanceof HTMLElement && this.parent.contains(focused)) focused.focus({ preventScroll: true });
  }
}
