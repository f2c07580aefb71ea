// What the data is made of: what was read, what was left out and why.
import { ask, icon, language, made, number, say } from "./core.js";
import { bars } from "./charts.js";
import { REASONS } from "./operator-words.js";
import { block, nothing, table, wide } from "./panels.js";

/** Why something was left out, in the language of the page. */
const because = (reason) => (language === "zh" ? REASONS[reason] : null) ?? reason;
/** "items.csv, row 163": where it stands, in the language of the page. */
export const placed = (text) => (language === "zh" ? text.replace(/, row (\d+)(, )?/, (_, row, more) => `，第 ${row} 行${more ? "，" : ""}`) : text);
export function warned(text) {
  const found = /^(\w+): ([\d,]+) values of '(.+?)' could not be used and are left empty \((.*)\); the first: (.*)$/.exec(text);
  if (!found) return text;
  const why = found[4].split(/, (?=[\d,]+ )/).map((one) => one.replace(/^([\d,]+) (.*)$/, (_, count, reason) => say("emptied-why", { count, reason: because(reason) }))).join(language === "zh" ? "，" : ", ");
  return say("emptied", { table: say(found[1]), count: found[2], column: found[3], why, first: placed(found[5]) });
}
const share = (value) => (value === undefined ? "–" : number(value, { style: "percent", maximumFractionDigits: 1 }));

export async function dataPanel() {
  let data;
  try {
    data = await ask("/v1/operator/data");
  } catch (error) {
    if (error.status !== 404) throw error;
    return [nothing(say("no-data"), say("no-data-todo"), ["tuwen collect SHOP.yaml --out dataset", "tuwen promote dataset HOME"])];
  }
  const tables = Object.entries(data.tables);
  const reasons = tables.flatMap(([name, one]) => Object.entries(one.reasons ?? {}).map(([reason, value]) => ({ name: `${say(name)}: ${because(reason)}`, value, bad: true })));
  const media = Object.entries(data.media);
  const broken = media.flatMap(([, one]) => Object.entries(one.quarantined ?? {}).map(([name, value]) => ({ name: because(name), value, bad: true })));
  const most = (rows) => [...rows].sort((a, b) => b.value - a.value);
  return [
    block(say("tables"), table(say("tables"), [say("table"), [say("rows")], [say("rejected")], [say("without-picture")], [say("without-text")]],
      tables.map(([name, one]) => [say(name), number(one.rows), one.rejected ? made("span", { className: "badge bad" }, number(one.rejected)) : "0", share(one.without_picture), share(one.without_text)]))),
    ...media.map(([kind, one]) => block(say(kind), made("dl", { className: "tiles" }, [["references", one.references], ["stored", one.stored], ["duplicates", one.duplicates], ["quarantined", Object.values(one.quarantined ?? {}).reduce((a, b) => a + b, 0)]]
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => made("div", {}, made("dt", {}, say(name)), made("dd", {}, number(value))))))),
    block(say("why-rejected"), reasons.length ? bars(most(reasons), (value) => number(value), say("why-rejected")) : made("p", { className: "hint" }, say("all-fine"))),
    block(say("why-quarantined"), broken.length ? bars(most(broken), (value) => number(value), say("why-quarantined")) : made("p", { className: "hint" }, say("all-fine"))),
    data.warnings.length ? wide(block(say("warnings"), made("ul", { className: "checks" }, data.warnings.map((text) => made("li", { className: "warn" }, icon("alert"), made("span", {}, warned(text))))))) : null,
    listed("rejected-rows", data.rejected, ["table", "file", "row", "column", "reason"]),
    listed("quarantine", data.quarantine, ["reference", "place", "reason", "seen"]),
  ].filter(Boolean);
}

function listed(title, rows, columns) {
  if (!rows.length) return null;
  const name = say(title, { count: number(rows.length) });
  return wide(block("", made("details", {}, made("summary", {}, name), table(name, columns.map((one) => say(one)), rows.map((row) => columns.map((one) => one === "reason" ? because(row[one]) : one === "table" ? say(row[one]) : placed(String(row[one] ?? "–"))))))));
}
