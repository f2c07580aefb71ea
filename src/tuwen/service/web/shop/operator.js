// The operator: what goes on, how good the model is, what the data is made of, what is live and what was before.
import { ask, begin, by, COMMON, dialog, headed, icon, made, moment, number, problemBox, say, tell } from "./core.js";
import { bars, spark } from "./charts.js";
import { backlogPanel } from "./operator-backlog.js";
import { dataPanel } from "./operator-data.js";
import { modelPanel } from "./operator-reports.js";
import { WORDS } from "./operator-words.js";
import { block, nothing, table, wide } from "./panels.js";

const EVERY = 3000; // milliseconds between two looks
const KEPT = 60; // looks that the lines show
const PARTS = ["recommend", "search", "predict", "dataset"];
const seen = { times: [], requests: [], rates: [] };

// --- Panels -----------------------------------------------------------------------------------------------------

async function fill(name, make) {
  const place = by(name);
  place.setAttribute("aria-busy", "true");
  if (!place.childElementCount) place.replaceChildren(made("div", { className: "ghost line" }), made("p", { className: "unseen" }, say("loading")));
  try {
    place.replaceChildren(...await make());
  } catch (error) {
    place.replaceChildren(problemBox(error, () => fill(name, make)));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

async function status() {
  // a service that is not ready says so with 503, and its words are wanted all the same
  const ready = await ask("/readyz").catch((error) => (error.fields.parts ? error.fields : Promise.reject(error)));
  const shop = await ask("/v1/shop");
  by("name").textContent = headed(shop.name ?? "tuwen 图文");
  document.title = `${say("title")} · ${headed(shop.name ?? "tuwen 图文")}`;
  return [
    made("span", { className: `badge ${ready.ready ? "good" : "bad"}` }, icon(ready.ready ? "check" : "alert"), say(ready.ready ? "ready" : "not-ready")),
    made("span", { className: "badge" }, ready.revision ? say("revision", { number: ready.revision }) : say("none-yet")),
    ...PARTS.map((part) => made("span", { className: `badge ${ready.parts[part] ? "" : "off"}` }, say(part), ready.parts[part] ? "" : `: ${say("not-served")}`)),
    ...(ready.full ?? []).map((what) => made("p", { className: "problem", role: "alert" }, icon("alert"), say(`full-${what}`))),
    ...(ready.fault ? [made("p", { className: "problem", role: "alert" }, icon("alert"), `${say("fault")}: ${ready.fault}`)] : []),
  ];
}

// --- Live -------------------------------------------------------------------------------------------------------

/** A quantile of what was measured; one that lies beyond the last edge of the histogram says so. */
function time(row, name) {
  if (row[name] === null) return "–";
  const value = say("ms", { value: number(1000 * row[name], { maximumSignificantDigits: 3 }) });
  return row.beyond.includes(name) ? say("more-than", { value }) : value;
}

/** A route that breaks between its parts, never inside one. */
const path = (route) => made("code", { className: "route" }, route.replaceAll(":path", "").split(/(?<=.\/)/).flatMap((part, i) => (i ? [made("wbr"), part] : [part])));

function looked(traffic) {
  const now = performance.now() / 1000;
  if (seen.times.length) seen.rates.push(Math.max(0, traffic.requests - seen.requests.at(-1)) / Math.max(0.1, now - seen.times.at(-1)));
  seen.times.push(now);
  seen.requests.push(traffic.requests);
  for (const values of Object.values(seen)) if (values.length > KEPT) values.shift();
}

async function live() {
  const traffic = await ask("/v1/operator/traffic");
  looked(traffic);
  const tile = (name, value, note, line) => made("div", { className: "tile" }, made("h3", {}, say(name)), made("b", {}, value), made("small", {}, note), line ?? "");
  const kinds = Object.entries(traffic.events ?? {}).sort((a, b) => b[1] - a[1]).map(([name, value]) => ({ name: say(name), value }));
  return [
    made("div", { className: "tilerow" },
      tile("requests", number(traffic.requests), `${say("since")} · ${say("under-way", { count: number(traffic.under_way) })}`),
      tile("per-second", number(seen.rates.at(-1) ?? 0, { maximumFractionDigits: 1 }), say("now"), spark(seen.rates, say("per-second"))),
      tile("p50", time(traffic, "p50"), say("since")),
      tile("p95", time(traffic, "p95"), say("since")),
      tile("failed", traffic.failed ? number(traffic.failed) : say("none-failed"), say("since"))),
    made("div", { className: "split" },
      traffic.routes.length ? block(say("by-route"), table(say("by-route"), [say("route"), [say("requests")], ["p50"], ["p95"], ["p99"], [say("failed")]],
        traffic.routes.map((row) => [path(row.route), number(row.requests), time(row, "p50"), time(row, "p95"), time(row, "p99"), number(row.failed)]))) : nothing(say("no-traffic"), say("no-traffic-todo")),
      block(say("events-kept"), traffic.events === null ? made("p", { className: "hint" }, say(traffic.away ? "store-away" : "no-store"))
        : kinds.length ? bars(kinds, (value) => number(value), say("events-kept")) : made("p", { className: "hint" }, say("no-events")))),
  ];
}

// --- Revisions --------------------------------------------------------------------------------------------------

async function revisions() {
  let known;
  try {
    known = await ask("/v1/operator/revisions");
  } catch (error) {
    if (error.status !== 404) throw error;
    return [nothing(say("no-home"), say("no-home-todo"), ["tuwen promote BUNDLE HOME", "tuwen serve HOME"])];
  }
  const kind = (name) => say(`kind-${name}`);
  const waiting = known.incoming.map((one) => made("li", {}, made("div", {}, made("b", {}, one.name), made("small", {}, kind(one.kind))),
    made("button", { type: "button", className: "button main", onclick: () => promote(one) }, say("promote"))));
  const rows = known.revisions.map((one) => made("li", { className: one.number === known.live ? "now" : "" }, made("b", {}, number(one.number)),
    made("div", {}, made("span", {}, noted(one.note)), made("small", {}, moment(one.time, { dateStyle: "medium", timeStyle: "short" }))),
    one.number === known.live ? made("span", { className: "badge good" }, icon("check"), say("is-live"))
      : made("button", { type: "button", className: "button", "aria-label": say("go-back-to", { number: one.number }), onclick: () => back(one) }, say("go-back"))));
  return [
    wide(block(say("incoming"), waiting.length ? made("ul", { className: "waiting" }, waiting) : made("p", { className: "hint" }, say("no-incoming", { folder: "incoming/" })))),
    wide(block(say("history"), rows.length ? made("ul", { className: "history" }, rows) : made("p", { className: "hint" }, say("none-yet")))),
  ];
}

/** What a revision did, in the language of the page; the home writes it in English. */
function noted(note) {
  const ways = [[/^promoted (.+) \((\w+)\)$/, "note-promoted"], [/^promoted (.+) as report\/(.+)$/, "note-report"], [/^dropped report\/(.+)$/, "note-dropped"],
    [/^back to revision (\d+)$/, "note-back"], [/^experiment (.+) begins$/, "note-begins"], [/^experiment (.+) ends$/, "note-ends"]];
  for (const [form, name] of ways) {
    const found = form.exec(note);
    if (found) return say(name, { what: found[1], as: name === "note-promoted" ? say(`kind-${found[2]}`) : found[2] });
  }
  return note;
}

const promote = (one) => change(say("promote-what", { name: one.name }), say("promote-why"), say("promote"), say("promoting", { name: one.name }),
  "/v1/operator/promote", { folder: one.name });
const back = (one) => change(say("back-what", { number: one.number }), say("back-why"), say("go-back"), say("going-back"),
  "/v1/operator/back", { revision: one.number });

/** Asks first, shows that it takes its time, and says how it went; what fails is told in the dialog. */
async function change(title, why, verb, meanwhile, path, body) {
  const done = await dialog(title, (end) => {
    const place = made("div", {});
    const go = made("button", { type: "button", className: "button main", onclick: async () => {
      go.disabled = true;
      place.replaceChildren(made("p", { role: "status" }, meanwhile), made("progress", { "aria-label": meanwhile }));
      try {
        end(await ask(path, body));
      } catch (error) {
        go.disabled = false;
        place.replaceChildren(problemBox(error));
      }
    } }, verb);
    return [made("p", {}, why), place, made("div", { className: "row" }, made("button", { type: "button", className: "button", onclick: () => end(null) }, say("cancel")), go)];
  });
  if (!done) return;
  tell(say("done", { number: done.number, note: noted(done.note) }), true);
  all();
}

// --- Begin ------------------------------------------------------------------------------------------------------

function all() {
  fill("status", status);
  fill("backlog", backlogPanel);
  fill("traffic", live);
  fill("model-panel", modelPanel);
  fill("data-panel", dataPanel);
  fill("revisions-panel", revisions);
}

begin({ ...COMMON, ...WORDS }, all);
await fill("status", status); // where a key is asked for, it is asked for once
all();
setInterval(() => {
  // a table that is being read with the keyboard stays as it is
  if (document.visibilityState === "visible" && !document.querySelector("dialog") && !by("traffic").contains(document.activeElement)) fill("traffic", live);
  if (document.visibilityState === "visible" && !document.querySelector("dialog") && !by("backlog").contains(document.activeElement)) fill("backlog", backlogPanel);
}, EVERY);
