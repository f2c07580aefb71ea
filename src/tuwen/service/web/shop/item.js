// One item: pictures, what is known, what the model expects, what shoppers said, and what is near it. And the basket.
import { ask, counted, headed, icon, made, moment, number, picture, say, spoken, tell } from "./core.js";
import { href } from "./address.js";
import { card, empty, ghosts, grid, priced, titled } from "./cards.js";
import { faultBox, faultWords } from "./faults.js";
import { visit } from "./visit.js";

const FIRST = ["title", "category", "brand", "price", "description"];

/** Tells the shop; says so, or why not. What she has changes only once the shop has acknowledged it. */
async function act(kind, item, done) {
  try {
    const isKept = await visit.did(kind, item);
    if (kind === "cart") visit.basket = [...new Set([...visit.basket, item])];
    tell(isKept ? done : `${done} ${say("not-kept")}`, true);
    return true;
  } catch (error) {
    const outcome = say(kind === "cart" ? "not-carted" : "not-bought");
    tell(say("fault-outcome", { fault: faultWords(error), outcome }), true);
    return false;
  }
}

/** While it is on its way the button waits: a second press would be a second event. */
async function once({ currentTarget: button }, work) {
  button.disabled = true;
  await work().finally(() => { button.disabled = false; });
}

export async function itemView(at) {
  const found = await ask(`/v1/items/${encodeURIComponent(at.item)}`);
  const title = titled({ item: found.item, ...found.columns });
  const about = { item: found.item, ...found.columns };
  const page = made("div", { className: "item" },
    made("nav", { className: "crumbs", "aria-label": say("category") },
      made("a", { href: href({ q: "" }) }, say("all-items")),
      found.columns.category ? [" › ", made("a", { href: href({ q: "", where: [`category=${found.columns.category}`] }) }, spoken(found.columns.category))] : null),
    made("div", { className: "two" }, gallery(found, title), facts(found, about, title)),
    near("similar", found.item), near("goes", found.item), reviews(found));
  return { title, page };
}

function gallery(found, title) {
  const large = made("div", { className: "large" }, picture(found.item, { count: found.pictures, alt: title, eager: true }));
  if (found.pictures < 2) return made("div", { className: "gallery" }, large);
  const thumbs = Array.from({ length: Math.min(found.pictures, 8) }, (_, place) => {
    const button = made("button", { type: "button", "aria-label": say("picture-n", { n: place + 1 }), "aria-pressed": String(place === 0), onclick: () => {
      large.replaceChildren(picture(found.item, { place, alt: title, eager: true }));
      for (const one of button.parentElement.children) one.setAttribute("aria-pressed", String(one === button));
    } }, picture(found.item, { place }));
    return button;
  });
  return made("div", { className: "gallery" }, large, made("div", { className: "thumbs" }, thumbs));
}

function facts(found, about, title) {
  const { brand, price, description } = found.columns;
  const others = Object.entries(found.columns).filter(([name, value]) => !FIRST.includes(name) && value !== null && typeof value !== "object");
  return made("div", { className: "facts" },
    made("h1", { tabIndex: -1 }, title),
    brand ? made("p", { className: "brand-name" }, made("a", { href: href({ q: "", where: [`brand=${brand}`] }) }, spoken(brand))) : null,
    rated(found),
    typeof price === "number" ? made("p", { className: "price" }, priced(price)) : null,
    made("div", { className: "row" },
      made("button", { type: "button", className: "button main", onclick: (event) => once(event, () => act("cart", found.item, say("carted"))) }, icon("basket"), say("cart")),
      made("button", { type: "button", className: "button", onclick: (event) => once(event, () => act("purchase", found.item, say("bought"))) }, say("buy"))),
    predicted(found.prediction),
    description ? made("p", { className: "description" }, description) : null,
    made("dl", { className: "columns" },
      others.flatMap(([name, value]) => [made("dt", {}, headed(name)), made("dd", {}, typeof value === "number" ? number(value) : spoken(String(value)))]),
      made("dt", {}, "№"), made("dd", {}, about.item)));
}

// --- Ratings ----------------------------------------------------------------------------------------------------

const highest = () => visit.shop.rating_range?.[1] ?? 5;

function stars(value) {
  const high = highest();
  const text = say("stars", { value: number(value, { maximumFractionDigits: 1 }), high: number(high) });
  if (high > 10 || Number.isNaN(value)) return made("span", {}, text);
  const whole = Math.round(value);
  return made("span", { className: "stars", role: "img", "aria-label": text }, "★".repeat(Math.max(0, whole)), made("i", {}, "★".repeat(Math.max(0, Math.round(high) - whole))));
}

function rated(found) {
  const ratings = found.reviews.map((one) => one.rating).filter((value) => typeof value === "number");
  if (!ratings.length) return null;
  const mean = ratings.reduce((sum, value) => sum + value, 0) / ratings.length;
  return made("p", { className: "rated" }, stars(mean),
    made("a", { href: "#reviews" }, counted("reviews-count", ratings.length, { mean: number(mean, { maximumFractionDigits: 1 }) })));
}

function predicted(prediction) {
  if (!prediction) return null;
  const value = prediction.prediction;
  const isRating = typeof value === "number" && visit.shop.rating_range;
  return made("div", { className: "predicted" }, icon("spark"),
    made("div", {}, made("b", {}, isRating ? `${say("predicted")}: ★ ${number(value, { minimumFractionDigits: 1, maximumFractionDigits: 1 })}` : `${say("predicted-is")}: ${value}`),
      isRating ? made("small", {}, ` ${say("of", { high: number(highest()) })}`) : null,
      made("p", { className: "hint" }, say("predicted-why"))),
    isRating ? made("meter", { min: visit.shop.rating_range[0], max: highest(), value, "aria-label": say("predicted") }) : null);
}

function reviews(found) {
  return made("section", { className: "reviews", id: "reviews", "aria-labelledby": "reviews-title" },
    made("h2", { id: "reviews-title" }, say("reviews")),
    found.reviews.length ? made("ul", {}, found.reviews.map((one) => made("li", {},
      made("p", { className: "row" }, typeof one.rating === "number" ? stars(one.rating) : null, one.time ? made("time", { dateTime: one.time }, moment(one.time)) : null),
      one.title ? made("h3", {}, one.title) : null,
      made("p", one.text ? {} : { className: "hint" }, one.text || say("no-words"))))) : made("p", { className: "hint" }, say("no-reviews")));
}

// --- What is near it --------------------------------------------------------------------------------------------

function near(kind, item) {
  const place = made("div", {}, ghosts(5, true));
  const section = made("section", { className: "near", "aria-labelledby": `${kind}-title` });
  const words = kind === "similar" ? ["similar", "no-similar"] : ["goes-with", "no-goes"];
  const fill = async (call) => {
    place.replaceChildren(ghosts(5, true));
    try {
      const { items } = await call();
      place.replaceChildren(items.length ? grid(items, { strip: true, label: say(words[0]) }) : made("p", { className: "hint" }, say(words[1])));
    } catch (error) {
      if (error.status === 404) section.remove(); // nothing here recommends
      else place.replaceChildren(faultBox(error));
    }
  };
  const similar = (by) => ask(`/v1/similar?item=${encodeURIComponent(item)}&count=12${by ? `&by=${by}` : ""}`);
  const head = made("div", { className: "heading" }, made("h2", { id: `${kind}-title` }, say(words[0])));
  section.append(head, place);
  if (kind === "goes") fill(() => ask("/v1/goes-with", { items: [item], count: 12 }));
  else {
    fill(() => similar(""));
    ways(head, (by) => fill(() => similar(by)));
  }
  return section;
}

/** Only the ways that this shop has vectors for are offered. */
function ways(head, look) {
  const known = (visit.shop.similar_by ?? []).filter((by) => ["picture", "text"].includes(by));
  if (known.length < 2) return;
  const buttons = ["", ...known].map((by, i) => made("button", { type: "button", "aria-pressed": String(i === 0), onclick: (event) => {
    for (const one of buttons) one.setAttribute("aria-pressed", String(one === event.currentTarget));
    look(by);
  } }, say(`by-${by || "both"}`)));
  head.append(made("div", { className: "switch", role: "group", "aria-label": say("similar") }, buttons));
}

// --- The basket -------------------------------------------------------------------------------------------------

export async function basketView(go) {
  const title = say("basket");
  const heading = made("h1", { tabIndex: -1 }, title);
  const keys = visit.basket;
  if (!keys.length) return { title, page: made("div", {}, heading, empty(say("basket-empty"), say("basket-empty-todo"), made("a", { className: "button main", href: href({}) }, say("home")), "basket")) };
  const read = async (item) => {
    // what is gone is left out; where the shop cannot say, the page does not look as if the basket were empty
    const found = await ask(`/v1/items/${encodeURIComponent(item)}`).catch((error) => (error.status === 404 ? null : Promise.reject(error)));
    return found ? { item, pictures: found.pictures, ...found.columns } : null;
  };
  const items = (await Promise.all(keys.map(read))).filter(Boolean);
  const total = items.reduce((sum, one) => sum + (one.price ?? 0), 0);
  const rows = items.map((one) => {
    const row = card(one, { level: 2 });
    row.append(made("button", { type: "button", className: "round", "aria-label": say("take-out", { title: titled(one) }), onclick: () => { visit.basket = keys.filter((key) => key !== one.item); go({ view: "basket" }, true); } }, icon("close")));
    return row;
  });
  const buy = made("button", { type: "button", className: "button main", onclick: async () => {
    buy.disabled = true;
    const left = new Set(keys);
    for (const one of items) {
      if (!(await act("purchase", one.item, say("bought")))) break;  // what was refused stays in the basket
      left.delete(one.item);
    }
    const all = items.every((one) => !left.has(one.item));
    visit.basket = all ? [] : [...left];
    go(all ? {} : { view: "basket" }, !all);
  } }, items.length > 1 ? say("buy-all", { count: number(items.length) }) : say("buy"));
  const place = made("div", {}, ghosts(5, true));
  const ready = ask("/v1/goes-with", { items: items.map((one) => one.item), count: 12 })
    .then((answer) => place.replaceChildren(grid(answer.items, { strip: true, label: say("basket-goes") })), () => place.parentElement.remove());
  return { title, ready, page: made("div", { className: "basket" }, heading, made("ul", { className: "rows" }, rows),
    made("p", { className: "sum" }, made("b", {}, say("total", { sum: priced(total) })), buy),
    made("section", { className: "near" }, made("h2", {}, say("basket-goes")), place)) };
}
