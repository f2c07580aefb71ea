// How good the model is, and what the data is made of.
import { ask, either, icon, key, made, moment, number, say } from "./core.js";
import { bars, intervals, reliability } from "./charts.js";
import { block, nothing, table, wide } from "./panels.js";

export async function modelPanel() {
  let report;
  try {
    report = await ask("/v1/operator/model");
  } catch (error) {
    if (error.status !== 404) throw error;
    return [nothing(say("no-report"), error.fields.todo)];
  }
  const [first] = report.metrics;
  const form = formOf(first);
  const percent = number(100 * report.confidence);
  return [
    block("", report.said.map((text, i) => made("p", { className: i ? "" : "headline" }, either(text))),
      made("p", { className: "row" }, report.page ? whole() : null, made("small", { className: "hint" }, origin(report)))),
    block(`${either(first.name)} · ${say(first.higher ? "higher" : "lower")}`, made("p", { className: "hint" }, `${either(first.meaning)} (${say("interval", { percent })})`),
      intervals([{ ...first, name: say("this-model"), kind: "ours" }, ...first.baselines.map((one) => ({ ...one, name: either(one.name), kind: "" }))], (row) => form(row), say("primary"))),
    block(say("trust"), made("ul", { className: "checks" }, report.checks.map((one) => made("li", { className: one.fine ? "good" : "warn" }, icon(one.fine ? "check" : "alert"), made("span", {}, either(one)))))),
    report.knock_out.length ? block(say("knock-out"), made("p", { className: "hint" }, say("knock-out-why")),
      intervals([{ ...first, name: say("this-model"), kind: "ours" }, ...report.knock_out.map((one) => ({ ...one, name: `${either(one.what)}: ${either(one.way)}` }))], (row) => form(row), say("knock-out"))) : null,
    report.calibration?.bins.length ? block(say("calibration"), reliability(report.calibration.bins, say("calibration"), [say("stated"), say("came-true")])) : null,
    report.slices.length ? block(say("slices"), table(say("slices"), [say("slice"), [say("rows")], [either(first.name)], [say("interval", { percent })]],
      report.slices.map((one) => [`${either(one.of)}: ${either(one.part)}`, number(one.rows), form(one), span(one, first)]))) : null,
    wide(block(say("all-metrics"), table(say("all-metrics"), [say("metric"), [say("value")], [say("interval", { percent })], say("best-other"), say("verdict")],
      report.metrics.map((one) => {
        const best = bestOf(one);
        return [made("span", { title: either(one.meaning) }, either(one.name)), formOf(one)(one), span(one, one), best ? `${either(best.name)} ${formOf(one)(best)}` : "–", best ? verdict(best.outcome) : "–"];
      })))),
  ].filter(Boolean);
}

const formOf = (metric) => ({ value }) => (value === null || value === undefined ? "–" : metric.percent
  ? number(value, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 })
  : number(value, Math.abs(value) < 100 ? { minimumFractionDigits: 3, maximumFractionDigits: 3 } : { maximumFractionDigits: 1 }));
const span = (one, metric) => (one.low === null ? "–" : `${formOf(metric)({ value: one.low })} – ${formOf(metric)({ value: one.high })}`);
const verdict = (outcome) => made("span", { className: `badge ${{ better: "good", worse: "bad", unclear: "warn" }[outcome]}` }, say(outcome));
const bestOf = (metric) => [...metric.baselines].filter((one) => one.value !== null).sort((a, b) => (metric.higher ? b.value - a.value : a.value - b.value))[0];

function origin({ provenance }) {
  const short = (text) => String(text ?? "–").slice(0, 10);
  return say("made", { time: provenance.time ? moment(provenance.time) : "–", commit: short(provenance.commit), data: short(provenance.data_hash) });
}

/** The report is a page of its own. A link sends no key, so with one it is fetched and saved. */
function whole() {
  const path = "/v1/operator/report.html";
  if (!key()) return made("a", { className: "button", href: path, target: "_blank", rel: "noopener" }, say("full-report"));
  return made("button", { type: "button", className: "button", onclick: async () => {
    const answer = await ask(path, undefined, { raw: true });
    const url = URL.createObjectURL(await answer.blob());
    made("a", { href: url, download: "report.html" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } }, say("download-report"));
}

// --- Data -------------------------------------------------------------------------------------------------------

const share = (value) => (value === undefined ? "–" : number(value, { style: "percent", maximumFractionDigits: 1 }));

export async function dataPanel() {
  let data;
  try {
    data = await ask("/v1/operator/data");
  } catch (error) {
    if (error.status !== 404) throw error;
    return [nothing(say("no-data"), error.fields.todo)];
  }
  const tables = Object.entries(data.tables);
  const reasons = tables.flatMap(([name, one]) => Object.entries(one.reasons ?? {}).map(([reason, value]) => ({ name: `${say(name)}: ${reason}`, value, bad: true })));
  const media = Object.entries(data.media);
  const broken = media.flatMap(([, one]) => Object.entries(one.quarantined ?? {}).map(([name, value]) => ({ name, value, bad: true })));
  const most = (rows) => [...rows].sort((a, b) => b.value - a.value);
  return [
    block(data.shop, table(data.shop, [say("table"), [say("rows")], [say("rejected")], [say("without-picture")], [say("without-text")]],
      tables.map(([name, one]) => [say(name), number(one.rows), one.rejected ? made("span", { className: "badge bad" }, number(one.rejected)) : "0", share(one.without_picture), share(one.without_text)]))),
    ...media.map(([kind, one]) => block(say(kind), made("dl", { className: "tiles" }, [["references", one.references], ["stored", one.stored], ["duplicates", one.duplicates], ["quarantined", Object.values(one.quarantined ?? {}).reduce((a, b) => a + b, 0)]]
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => made("div", {}, made("dt", {}, say(name)), made("dd", {}, number(value))))))),
    block(say("why-rejected"), reasons.length ? bars(most(reasons), (value) => number(value), say("why-rejected")) : made("p", { className: "hint" }, say("all-fine"))),
    block(say("why-quarantined"), broken.length ? bars(most(broken), (value) => number(value), say("why-quarantined")) : made("p", { className: "hint" }, say("all-fine"))),
    data.warnings.length ? wide(block(say("warnings"), made("ul", { className: "checks" }, data.warnings.map((text) => made("li", { className: "warn" }, icon("alert"), made("span", {}, text)))))) : null,
    listed("rejected-rows", data.rejected, ["table", "file", "row", "column", "reason"]),
    listed("quarantine", data.quarantine, ["reference", "place", "reason", "seen"]),
  ].filter(Boolean);
}

function listed(title, rows, columns) {
  if (!rows.length) return null;
  const name = say(title, { count: number(rows.length) });
  return wide(block("", made("details", {}, made("summary", {}, name), table(name, columns.map((one) => say(one)), rows.map((row) => columns.map((one) => String(row[one] ?? "–")))))));
}


