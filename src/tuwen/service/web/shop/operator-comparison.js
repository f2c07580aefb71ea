// A comparison: the cells that were trained, on the same rows, beside the one that they are measured by.
import { counted, either, icon, made, number, say, sentence } from "./core.js";
import { intervals } from "./charts.js";
import { block, formOf, origin, span, table, verdict, whole, wide } from "./panels.js";

export function comparison(found, name) {
  const [first, ...others] = found.metrics;
  const percent = number(100 * found.confidence);
  const form = formOf(first);
  const varied = Object.entries(found.varied).map(([key, values]) => made("li", {}, made("code", {}, key), ` ${values.join(" · ")}`));
  return [
    wide(block("", made("p", { className: "headline" }, found.said.map(either).join(" ")),
      made("ul", { className: "facts" }, varied, made("li", {}, counted("cells-count", first.cells.length)), made("li", {}, counted("seeds-count", found.seeds)), made("li", {}, counted("rows-count", found.rows))),
      made("p", { className: "row" }, found.page ? whole(name) : null, made("small", { className: "hint" }, origin(found))))),
    block(`${either(first.name)} · ${say(first.higher ? "higher" : "lower")}`, made("p", { className: "hint" }, `${either(first.meaning)} (${say("interval", { percent })})`),
      intervals(first.cells.map((one) => ({ ...one, name: one.reference && first.cells.length > 1 ? `${one.name} · ${say("reference-cell")}` : one.name, kind: one.reference ? "ours" : "" })), (row) => form(row), say("primary"))),
    block(say("trust"), made("ul", { className: "checks" }, found.checks.map((one) => made("li", { className: one.fine ? "good" : "warn" }, icon(one.fine ? "check" : "alert"), made("span", {}, either(one)))))),
    first.cells.length > 1 ? wide(block(say("against"), made("p", { className: "hint" }, say("against-why")), differences(found, first))) : null,
    found.missing.length ? wide(block(`${say("without-input")} · ${either(first.name)}`, made("p", { className: "hint" }, say("without-input-why")),
      table(say("without-input"), [say("cell"), [say("complete")], ...found.missing.map((one) => [sentence(either(one.what))])],
        first.cells.map((one, i) => [one.name, form(one), ...found.missing.map((lost) => form({ value: lost.values[i] }))])))) : null,
    others.length ? wide(block(say("all-metrics"), table(say("all-metrics"), [say("cell"), ...found.metrics.map((one) => [either(one.name)])],
      first.cells.map((one, i) => [one.name, ...found.metrics.map((metric) => formOf(metric)(metric.cells[i]))])))) : null,
    found.failed.length ? wide(block(say("cells-failed"), made("ul", { className: "checks" }, found.failed.map((one) => made("li", { className: "warn" }, icon("alert"), made("span", {}, one)))))) : null,
  ].filter(Boolean);
}

function differences(found, first) {
  const form = formOf(first);
  const signed = (value) => (value > 0 ? `+${form({ value })}` : form({ value }));
  return table(say("against"), [say("cell"), [either(first.name)], [say("difference")], [say("interval", { percent: number(100 * found.confidence) })], ["p"], say("verdict"), ...found.costs.map((one) => [either(one)])],
    first.cells.map((one, i) => [
      one.name, form(one),
      ...(one.outcome ? [signed(one.difference), span({ low: one.difference_low, high: one.difference_high }, first), one.p === null ? "–" : number(one.p, { maximumFractionDigits: 3, minimumFractionDigits: 3 }), verdict(one.outcome)]
        : ["–", "–", "–", made("span", { className: "badge" }, say(one.reference ? "reference-cell" : "unclear"))]),
      ...found.costs.map(({ values }) => (values[i] ? either(values[i]) : "–")),
    ]));
}
