// Elements made in one expression. No markup is ever parsed from text: what others wrote stays text.

type Value = string | number | boolean | undefined | ((event: never) => void);
type Child = Node | string | null;

/** An element with attributes (`on…`: a listener; true: present; false, undefined: absent) and children (null: none). */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** The same of SVG. */
export function s<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function set(element: Element, attributes: Record<string, Value>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** The element of index.html with that id. */
export function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element as Kind;
}

/** Places an element by shares of its parent's width, in [0, 1]. The policy forbids style attributes, not the CSSOM. */
export function place(element: HTMLElement, from: number, to?: number): void {
  element.style.left = `${100 * from}%`;
  if (to !== undefined) element.style.width = `${100 * (to - from)}%`;
}
