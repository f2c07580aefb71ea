// Blocks, tables and empty states of the operator's page.
import { ask, icon, key, made, moment, number, say } from "./core.js";

export const block = (title, ...content) => made("section", { className: "block" }, title ? made("h3", {}, title) : null, ...content);

/** As wide as the page. */
export const wide = (one) => { one.classList.add("full"); return one; };

/** What is not there, and the commands that make it. */
export const nothing = (title, todo, commands = []) => made("div", { className: "empty" }, icon("spark"), made("h3", {}, title), todo ? made("p", {}, todo) : null,
  commands.length ? made("pre", { tabIndex: 0 }, made("code", {}, commands.join("\n"))) : null);

/**
 * A table; a heading in brackets is one of numbers. It scrolls by itself where it is wider than the page; on a phone a
 * row is a small block, each value under its heading. The roles stay what they are: a block is no row to a browser.
 */
export function table(label, headings, rows) {
  const numeric = headings.map(Array.isArray), names = headings.flat();
  const cell = (value, i) => made(i ? "td" : "th", { className: numeric[i] ? "n" : undefined, scope: i ? undefined : "row", role: i ? "cell" : "rowheader", "data-name": i ? names[i] : undefined }, value);
  return made("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": label },
    made("table", { role: "table" }, made("caption", { className: "unseen" }, label),
      made("thead", { role: "rowgroup" }, made("tr", { role: "row" }, names.map((one, i) => made("th", { scope: "col", role: "columnheader", className: numeric[i] ? "n" : undefined }, one)))),
      made("tbody", { role: "rowgroup" }, rows.map((row) => made("tr", { role: "row" }, row.map(cell))))));
}

// --- Numbers of reports -----------------------------------------------------------------------------------------

/** How the values of a metric are written. */
export const formOf = (metric) => ({ value }) => (value === null || value === undefined ? "–" : metric.percent
  ? number(value, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 })
  : number(value, Math.abs(value) < 100 ? { minimumFractionDigits: 3, maximumFractionDigits: 3 } : { maximumFractionDigits: 1 }));

export const span = (one, metric) => (one.low === null || one.low === undefined ? "–"
  : `${formOf(metric)({ value: one.low })} ${one.low < 0 ? say("to") : "–"} ${formOf(metric)({ value: one.high })}`);

export const verdict = (outcome) => made("span", { className: `badge ${{ better: "good", worse: "bad", unclear: "warn" }[outcome]}` }, say(outcome));

export function origin({ provenance }) {
  const short = (text) => String(text ?? "–").slice(0, 10);
  return say("made", { time: provenance.time ? moment(provenance.time) : "–", commit: short(provenance.commit), data: short(provenance.data_hash) });
}

/** A report is a page of its own. A link sends no key, so with one it is fetched and saved. */
export function whole(name) {
  const path = `/v1/operator/report/${encodeURIComponent(name)}/page`;
  if (!key()) return made("a", { className: "button", href: path, target: "_blank", rel: "noopener" }, say("full-report"));
  return made("button", { type: "button", className: "button", onclick: async () => {
    const answer = await ask(path, undefined, { raw: true });
    const url = URL.createObjectURL(await answer.blob());
    made("a", { href: url, download: `${name}.html` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } }, say("download-report"));
}
