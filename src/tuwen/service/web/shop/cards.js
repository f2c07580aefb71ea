// An item in a list, and lists.
import { either, icon, made, number, picture, say, sentence, spoken } from "./core.js";
import { href } from "./address.js";

export const priced = (value) => number(value, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const titled = (item) => spoken(item.title) || item.item;

/** Why it is shown, as far as the API says. */
function why(item) {
  const found = (item.reason ? [item.reason] : item.reasons ?? []).map(either).filter(Boolean);
  return sentence(found.slice(0, 2).join(" · "));
}

/** The picture, and a mark over each place in it where words of the question stand. */
function framed(item, eager) {
  const boxes = (item.reasons ?? []).flatMap((reason) => reason.boxes ?? []);
  const shown = boxes.length && boxes[0].picture < (item.pictures ?? 1) ? boxes[0].picture : 0;
  const image = picture(item.item, { count: item.pictures, eager, place: shown });
  const frame = made("div", { className: "frame" }, image);
  const mark = () => {
    const short = Math.min(image.naturalWidth, image.naturalHeight);
    const [wide, high] = [image.naturalWidth / short, image.naturalHeight / short];
    const share = (value, side) => value * side - (side - 1) / 2; // the frame is square and cuts the longer side
    for (const { box: [left, top, right, bottom] } of boxes.filter((line) => line.picture === shown)) {
      const outline = made("i", { className: "mark", "aria-hidden": "true" });
      outline.style.left = `${100 * share(left, wide)}%`;
      outline.style.top = `${100 * share(top, high)}%`;
      outline.style.width = `${100 * (right - left) * wide}%`;
      outline.style.height = `${100 * (bottom - top) * high}%`;
      frame.append(outline);
    }
  };
  if (boxes.length) image.addEventListener("load", mark, { once: true });
  return frame;
}

export function card(item, { position, query, fresh = false, eager = false, level = 3 } = {}) {
  const reason = why(item);
  const link = made("a", { href: href({ item: item.item }) }, titled(item));
  link.dataset.item = item.item;
  if (position !== undefined) link.dataset.position = position;
  if (query) link.dataset.query = query;
  const frame = framed(item, eager);
  if (fresh) frame.append(made("span", { className: "flag" }, say("new-here")));
  return made("li", { className: "card" }, frame,
    made("div", { className: "words" },
      made(`h${level}`, {}, link),
      item.brand || item.category ? made("p", { className: "brand-name" }, spoken(item.brand || item.category)) : null,
      typeof item.price === "number" ? made("p", { className: "price" }, priced(item.price)) : null,
      reason ? made("p", { className: "reason" }, icon("spark"), made("span", {}, reason)) : null));
}

export function grid(items, { query, fresh = [], strip = false, first = 0, label } = {}) {
  return made("ul", { className: strip ? "strip" : "grid", "aria-label": label, tabIndex: strip ? 0 : undefined },
    items.map((item, i) => card(item, { position: first + i, query, fresh: fresh.includes(item.item), eager: !strip && i < 8, level: strip ? 3 : 2 })));
}

/** The shape of a list before it is there. */
export function ghosts(count, strip = false) {
  const one = () => made("li", { className: "card ghost" }, made("div", { className: "frame" }), made("div", { className: "words" }, made("i"), made("i"), made("i")));
  return made("div", { "aria-busy": "true" },
    made("p", { className: "unseen" }, say("loading")),
    made("ul", { className: strip ? "strip" : "grid", "aria-hidden": "true" }, Array.from({ length: count }, one)));
}

/** Nothing to show: what, what to do, and a way on; a picture of another kind as the last. */
export function empty(title, todo, way, sign = "search") {
  return made("div", { className: "empty" }, icon(sign), made("h2", {}, title), todo ? made("p", {}, todo) : null, way ?? null);
}
