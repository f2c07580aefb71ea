// The results of words, a photo or filters: what was done to the question, filters, order, pages.
import { apart, ask, either, headed, icon, language, made, number, say, sentence, spoken, tell } from "./core.js";
import { href } from "./address.js";
import { empty, ghosts, grid } from "./cards.js";
import { faultBox } from "./faults.js";
import { photoOf, shown } from "./photo.js";

const SIZE = 24;
const SORTS = ["relevance", "popular", "price", "-price", "title"];

function question(at) {
  const asked = { where: at.where, sort: at.sort, page: at.page, size: SIZE };
  if (at.q) asked.words = at.q;
  if (at.photo) asked.picture = photoOf(at.photo);
  return asked;
}

export async function searchView(at, go) {
  const photo = at.photo ? photoOf(at.photo) : null;
  const title = photo ? say("results-photo") : at.q ? say("results-for", { words: at.q }) : say("all-items");
  const heading = made("h1", { tabIndex: -1 }, title);
  const count = made("p", { className: "count" }, say(photo ? "photo-looking" : "loading"));
  const place = made("div", { className: "found" }, ghosts(8));
  const side = made("aside", { className: "filters", "aria-label": say("filters") }, made("div", { className: "ghost line" }));
  const page = made("div", { className: "results" },
    made("div", { className: "heading" }, photo ? yours(photo, at, go) : null, made("div", {}, heading, count), sorting(at, go)), side, place);
  const load = async () => {
    if (at.photo && !photo) {
      count.textContent = "";
      side.replaceChildren();
      place.replaceChildren(empty(say("photo-gone"), say("none-todo")));
      return;
    }
    try {
      const answer = await ask("/v1/search", question(at));
      const near = answer.total - answer.holding; // facets count those that hold the words
      const close = at.q && near && answer.hits.some((hit) => hit.reasons?.length);
      const found = close ? say(answer.holding ? "results-both" : "results-near", { holding: number(answer.holding), near: number(near) })
        : say(answer.total === 1 ? "results-one" : "results", { count: number(answer.total) });
      count.textContent = `${found} · ${say("took", { ms: number(answer.milliseconds, { maximumFractionDigits: 0 }) })}`;
      tell(found);
      side.replaceChildren(...filters(answer, at, go));
      place.replaceChildren(...told(answer, at, go));
    } catch (error) {
      count.textContent = "";
      side.replaceChildren();
      place.replaceChildren(faultBox(error, load));
    }
  };
  return { title, page, ready: load() };
}

function yours(photo, at) {
  const rest = { ...at, photo: null, q: at.q ?? "", page: 1 };
  return made("figure", { className: "yours" }, made("img", { src: shown(photo), alt: say("photo-yours"), width: 72, height: 72 }),
    made("a", { className: "round", href: href(rest), "aria-label": say("skip-photo") }, icon("close")));
}

function sorting(at, go) {
  const pick = made("select", { id: "sort", "aria-label": say("sort"), onchange: () => go({ ...at, sort: pick.value, page: 1 }) },
    SORTS.map((name) => made("option", { value: name, selected: name === at.sort }, say(`sort-${name}`))));
  return made("div", { className: "sorting" }, made("label", { htmlFor: "sort" }, say("sort")), pick);
}

// --- Filters ----------------------------------------------------------------------------------------------------

const CONDITION = /^\s*([^=!<>]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*$/s;
const columnOf = (condition) => CONDITION.exec(condition)?.[1] ?? condition;
const known = (column) => (["category", "brand", "price", "colour"].includes(column) ? say(column) : headed(column));
const short = (value) => number(value, { maximumFractionDigits: 2 });

function ranged({ low, high }) {
  if (low === null) return say("under", { high: short(high) });
  return high === null ? say("over", { low: short(low) }) : say("from-to", { low: short(low), high: short(high) });
}
const conditionOf = (column, { low, high }) =>
  low === null ? `${column}<${high}` : high === null ? `${column}>=${low}` : `${column}=${low}..${high}`;

/** A condition as a person reads it; a value as the facets of the answer call it. */
function readable(condition, facets) {
  const [, column, sign, value] = CONDITION.exec(condition) ?? [null, condition, "", ""];
  const range = /^(\S*)\.\.(\S*)$/.exec(value);
  if (range) return `${known(column)}: ${ranged({ low: range[1] === "" ? null : Number(range[1]), high: range[2] === "" ? null : Number(range[2]) })}`;
  const values = facets[column] ?? [], names = labels(column, values);
  const named = (text) => names[values.findIndex((one) => String(one.value) === text)] ?? spoken(text);
  if (sign === "=") return `${known(column)}: ${value.split("|").map(named).join(", ")}`;
  if (sign === "<") return `${known(column)}: ${say("under", { high: value })}`;
  if (sign === ">=") return `${known(column)}: ${say("over", { low: value })}`;
  return condition;
}

function filters(answer, at, go) {
  const groups = Object.entries(answer.facets).filter(([, values]) => values.length).map(([column, values]) => {
    const mine = at.where.filter((one) => columnOf(one) === column);
    const others = at.where.filter((one) => columnOf(one) !== column);
    const chosen = mine.flatMap((one) => (CONDITION.exec(one)?.[3] ?? "").split("|"));
    const names = labels(column, values);
    const set = (conditions) => go({ ...at, where: [...others, ...conditions], page: 1 });
    return made("fieldset", {}, made("legend", {}, known(column)), values.map((one, i) => choice(column, one, names[i], mine, chosen, set)));
  });
  if (!groups.length) return [];
  const wide = matchMedia("(min-width: 900px)").matches;
  const count = at.where.length ? ` (${at.where.length})` : "";
  return [made("details", { open: wide }, made("summary", {}, icon("filter"), `${say("filters")}${count}`), groups)];
}

/** What a person reads of the values of a facet, each told from the others. */
function labels(column, values) {
  const text = (one) => (column === "colour" ? (language === "zh" ? one.zh : null) ?? headed(one.value) : String(one.value));
  const words = apart(values.map((one) => (typeof one.value === "string" ? text(one) : "")));
  return values.map((one, i) => (!("value" in one) ? ranged(one) : typeof one.value === "number" ? short(one.value) : words[i]));
}

function choice(column, one, name, mine, chosen, set) {
  const isRange = !("value" in one);
  const isNumber = isRange || typeof one.value === "number";
  const condition = isRange ? conditionOf(column, one) : `${column}=${one.value}`;
  const on = isNumber ? mine.includes(condition) : chosen.includes(String(one.value));
  const box = made("input", { type: "checkbox", checked: on, onchange: () => {
    if (isNumber) { set(box.checked ? [condition] : []); return; }
    const values = box.checked ? [...chosen, String(one.value)] : chosen.filter((value) => value !== String(one.value));
    set(values.length ? [`${column}=${values.join("|")}`] : []);
  } });
  const swatch = column === "colour" && "zh" in one ? made("i", { className: `swatch ${one.value}` }) : null;
  return made("label", { className: "choice" }, box, swatch, made("span", {}, name), made("small", {}, number(one.count)));
}

// --- What was found ---------------------------------------------------------------------------------------------

function told(answer, at, go) {
  const parts = [];
  const left = answer.left_out ?? [];
  if (at.where.length) {
    parts.push(made("ul", { className: "chips", "aria-label": say("filters") },
      at.where.map((one) => made("li", {}, made("a", {
        className: left.includes(one) ? "chip out" : "chip on", href: href({ ...at, where: at.where.filter((other) => other !== one), page: 1 }),
        "aria-label": say("remove-filter", { name: readable(one, answer.facets) }),
      }, readable(one, answer.facets), left.includes(one) ? ` (${say("left-out")})` : "", icon("close")))),
      made("li", {}, made("a", { className: "chip", href: href({ ...at, where: [], page: 1 }) }, say("clear")))));
  }
  for (const note of answer.notes) parts.push(made("p", { className: "note" }, icon("spark"), sentence(either(note))));
  const noted = answer.notes.map(either).join(" "); // a note may say it already, of the one word that is another
  const told = (words) => words.split(/\s+/).some((word) => !at.q.includes(word) && noted.includes(word));
  const better = answer.suggestions.filter((words) => words !== at.q && !told(words));
  if (better.length) {
    parts.push(made("p", { className: "note" }, `${say("did-you-mean")} `, better.flatMap((words, i) =>
      [i ? ", " : "", made("a", { href: href({ ...at, q: words, page: 1 }) }, words)])));
  }
  if (!answer.hits.length && answer.total) {
    const last = made("a", { className: "button main", href: href({ ...at, page: answer.pages }) }, say("last-page", { pages: number(answer.pages) }));
    return [empty(say("no-page", { page: number(answer.page) }), say(answer.pages === 1 ? "one-page" : "no-page-todo", { pages: number(answer.pages) }),
      made("p", { className: "row" }, last, made("a", { className: "button", href: href({ ...at, page: 1 }) }, say("first-page"))))];
  }
  if (!answer.hits.length) {
    parts.push(empty(say("none"), say("none-todo"), made("a", { className: "button main", href: href({ q: "" }) }, say("all-items"))));
    return parts;
  }
  parts.push(grid(answer.hits, { query: at.q, first: (answer.page - 1) * SIZE, label: say("results", { count: number(answer.total) }) }));
  if (answer.pages > 1) parts.push(paging(answer, at));
  return parts;
}

function paging(answer, at) {
  const to = (page, label, content) => made("a", { className: "button", href: href({ ...at, page }), "aria-label": label }, content);
  return made("nav", { className: "paging", "aria-label": say("pages") },
    answer.page > 1 ? to(answer.page - 1, say("previous"), icon("back")) : made("span", { className: "space" }),
    made("span", {}, say("page-of", { page: number(answer.page), pages: number(answer.pages) })),
    answer.page < answer.pages ? to(answer.page + 1, say("next"), icon("next")) : made("span", { className: "space" }));
}
