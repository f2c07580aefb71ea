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

export function card(item, { position, query, fresh = false, eager = false, level = 3 } = {}) {
  const reason = why(item);
  const link = made("a", { href: href({ item: item.item }) }, titled(item));
  link.dataset.item = item.item;
  if (position !== undefined) link.dataset.position = position;
  if (query) link.dataset.query = query;
  return made("li", { className: "card" },
    made("div", { className: "frame" }, picture(item.item, { count: item.pictures, eager }), fresh ? made("span", { className: "flag" }, say("new-here")) : null),
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
