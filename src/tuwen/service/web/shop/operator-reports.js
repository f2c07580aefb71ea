// How good it is: every report and comparison of the home, one of them at length.
import { ask, counted, either, icon, keep, kept, made, moment, number, problemBox, say, sentence } from "./core.js";
import { curve, intervals, reliability } from "./charts.js";
import { comparison } from "./operator-comparison.js";
import { block, formOf, nothing, origin, span, table, verdict, whole, wide } from "./panels.js";

/** What is served → the tasks whose reports tell of it, and how such a report is made. */
const WANTED = {
  predict: { tasks: ["rate", "binary", "classify"], commands: ["tuwen evaluate BUNDLE DATASET --out report", "tuwen promote report HOME"] },
  recommend: { tasks: ["rank"], commands: ["tuwen run NEXT.yaml --out next", "tuwen promote next HOME"] },
  search: { tasks: ["search", "photo-search"], commands: ["tuwen judge INDEX JUDGMENTS --out judged", "tuwen promote judged HOME"] },
};
const COMPARE = ["tuwen compare RUN.yaml DATASET --vary fusion=concat,gated --out compared", "tuwen promote compared HOME"];

export async function modelPanel() {
  const [{ reports }, shop] = await Promise.all([ask("/v1/operator/report"), ask("/v1/shop")]);
  const missing = Object.entries(WANTED)
    .filter(([part, { tasks }]) => shop.parts[part] && !reports.some((one) => one.kind === "report" && tasks.includes(one.task)))
    .map(([part, { commands }]) => absent(part, commands));
  if (reports.length && !reports.some((one) => one.kind === "comparison")) missing.push(absent("comparison", COMPARE));
  if (!reports.length && !missing.length) return [nothing(say("no-report"), say("no-report-todo"), WANTED.predict.commands)];
  if (!reports.length) return [list(missing)];
  const place = made("div", { className: "panel full" });
  const show = async (name) => {
    keep(sessionStorage, "report", name);
    for (const one of cards) one.firstChild.setAttribute("aria-pressed", String(one.dataset.name === name));
    place.setAttribute("aria-busy", "true");
    if (!place.childElementCount) place.replaceChildren(made("div", { className: "ghost line" }));
    try {
      const found = await ask(`/v1/operator/report/${encodeURIComponent(name)}`);
      place.replaceChildren(...(found.kind === "comparison" ? comparison(found, name) : detail(found, name)));
    } catch (error) {
      place.replaceChildren(problemBox(error, () => show(name)));
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  const cards = reports.map((one) => card(one, show));
  const last = reports.find((one) => one.name === kept(sessionStorage, "report")) ?? reports.find((one) => one.kind === "report") ?? reports[0];
  await show(last.name);
  return [list([...cards, ...missing]), place];
}

const list = (cards) => made("ul", { className: "reports full", "aria-label": say("reports") }, cards);

function card(one, show) {
  const form = formOf(one);
  return made("li", { "data-name": one.name }, made("button", { type: "button", className: "report", "aria-pressed": "false", onclick: () => show(one.name) },
    made("small", {}, say(one.kind === "comparison" ? "comparison" : `task-${one.task}`)),
    made("b", {}, one.name),
    made("span", { className: "score" }, `${either(one.metric)} `, made("b", {}, form(one))),
    made("small", {}, one.alone ? counted("of-seeds", one.seeds) : one.kind === "comparison" ? say("of-reference") : one.low === null ? "" : span(one, one), one.time ? ` · ${moment(one.time)}` : "")));
}

/** A report that could be here, and the commands that make it. */
function absent(part, commands) {
  return made("li", {}, made("div", { className: "report off" }, made("small", {}, say(part)), made("b", {}, say(part === "comparison" ? "no-comparison" : "no-report-of")),
    made("pre", { tabIndex: 0 }, made("code", {}, commands.join("\n")))));
}

// --- One report -------------------------------------------------------------------------------------------------

function detail(report, name) {
  const [first] = report.metrics;
  const form = formOf(first);
  const percent = number(100 * report.confidence);
  const ours = { ...first, name: say("this-model"), kind: "ours" };
  return [
    wide(block("", report.said.map((text, i) => made("p", { className: i ? "" : "headline" }, either(text))),
      made("p", { className: "row" }, report.page ? whole(name) : null, made("small", { className: "hint" }, origin(report))))),
    block(`${either(first.name)} · ${say(first.higher ? "higher" : "lower")}`, made("p", { className: "hint" }, `${either(first.meaning)} (${say("interval", { percent })})`),
      intervals([ours, ...first.baselines.map((one) => ({ ...one, name: either(one.name), kind: "" }))], (row) => form(row), say("primary"))),
    block(say("trust"), made("ul", { className: "checks" }, report.checks.map((one) => made("li", { className: one.fine ? "good" : "warn" }, icon(one.fine ? "check" : "alert"), made("span", {}, either(one)))))),
    report.knock_out.length ? block(say("knock-out"), made("p", { className: "hint" }, say("knock-out-why")),
      intervals([ours, ...report.knock_out.map((one) => ({ ...one, name: `${sentence(either(one.what))}: ${either(one.way)}` }))], (row) => form(row), say("knock-out"))) : null,
    report.slices.length ? block(say("slices"), table(say("slices"), [say("slice"), [say("rows")], [either(first.name)], [say("interval", { percent })]],
      report.slices.map((one) => [`${sentence(either(one.of))}: ${either(one.part)}`, number(one.rows), form(one), span(one, first)]))) : null,
    calibration(report),
    curves(report),
    report.costs.length ? wide(block(say("costs"), made("dl", { className: "tiles" }, report.costs.map((one) => made("div", {}, made("dt", {}, either(one)), made("dd", {}, either(one.value))))))) : null,
    wide(block(say("all-metrics"), table(say("all-metrics"), [say("metric"), [say("value")], [say("interval", { percent })], say("best-other"), say("verdict")],
      report.metrics.map((one) => {
        const best = bestOf(one);
        return [made("span", { title: either(one.meaning) }, either(one.name)), formOf(one)(one), span(one, one), best ? `${either(best.name)} ${formOf(one)(best)}` : "–", best ? verdict(best.outcome) : "–"];
      })))),
  ].filter(Boolean);
}

const answers = (report) => WANTED.predict.tasks.includes(report.task); // with a number or a class for each row
const bestOf = (metric) => [...metric.baselines].filter((one) => one.value !== null).sort((a, b) => (metric.higher ? b.value - a.value : a.value - b.value))[0];

function calibration(report) {
  if (report.calibration?.bins.length) return block(say("calibration"), made("p", { className: "hint" }, say("calibration-why")), reliability(report.calibration.bins, say("calibration"), [say("stated"), say("came-true")]));
  return answers(report) ? block(say("calibration"), made("p", { className: "hint" }, say("no-calibration"))) : null;
}

function curves(report) {
  if (report.curves.length) return block(say("curves"), made("p", { className: "hint" }, say("curves-why")), made("div", { className: "curves" },
    report.curves.slice(0, 2).map((one) => curve(one, either(one.name), { train: say("train"), validation: say("validation"), epoch: say("epoch") }))));
  return answers(report) ? block(say("curves"), made("p", { className: "hint" }, say("no-curves"))) : null;
}
