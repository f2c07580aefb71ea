// Blocks, tables and empty states of the operator's page.
import { icon, made } from "./core.js";

export const block = (title, ...content) => made("section", { className: "block" }, title ? made("h3", {}, title) : null, ...content);

/** As wide as the page. */
export const wide = (one) => { one.classList.add("full"); return one; };

export const nothing = (title, todo) => made("div", { className: "empty" }, icon("spark"), made("h3", {}, title), todo ? made("p", {}, todo) : null);

/** A table; a heading in brackets is one of numbers. It scrolls by itself where it is wider than the page. */
export function table(label, headings, rows) {
  const numeric = headings.map(Array.isArray);
  const cell = (value, i) => made(i ? "td" : "th", { className: numeric[i] ? "n" : undefined, scope: i ? undefined : "row" }, value);
  return made("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": label },
    made("table", {}, made("caption", { className: "unseen" }, label),
      made("thead", {}, made("tr", {}, headings.flat().map((one, i) => made("th", { scope: "col", className: numeric[i] ? "n" : undefined }, one)))),
      made("tbody", {}, rows.map((row) => made("tr", {}, row.map(cell))))));
}
