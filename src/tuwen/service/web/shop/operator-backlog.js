// What is acknowledged and not yet where it belongs: changes of items for the index, events for the store.
import { ask, counted, icon, made, number, say } from "./core.js";
import { block } from "./panels.js";

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** Seconds in the largest unit that holds them, in the language of the page. */
export function duration(seconds) {
  const [unit, length] = UNITS.find(([, one]) => seconds >= one) ?? UNITS.at(-1);
  return number(Math.floor(seconds / length), { style: "unit", unit, unitDisplay: "long" });
}

export async function backlogPanel() {
  const { store, outbox, journal } = await ask("/v1/operator/backlog");
  const share = journal ? journal.bytes / journal.most_bytes : 0;
  return [
    queue("outbox", outbox?.items, outbox?.oldest_seconds, outbox?.fault ? say("why-waiting", { why: outbox.fault }) : null, store || !journal ? null : say("store-away")),
    queue("journal", journal?.events, journal?.oldest_seconds,
      share >= 0.01 ? say("journal-room", { share: number(share, { style: "percent", maximumFractionDigits: 0 }) }) : null),
  ];
}

/** One queue: how many wait, how long the oldest, and what to do where any do. */
function queue(name, count, seconds, more, unknown = null) {
  if (count === undefined) return block(say(name), made("p", { className: "hint" }, unknown ?? say("no-store")));
  const state = made("p", {}, made("span", { className: `badge ${count ? "warn" : "good"}` }, icon(count ? "alert" : "check"), count ? counted(`${name}-count`, count) : say("none-waiting")));
  if (!count) return block(say(name), state, made("p", { className: "hint" }, say(`${name}-why`)));
  return block(say(name), state,
    seconds === null || seconds === undefined ? null : made("p", {}, say("oldest", { age: duration(seconds) })),
    more ? made("p", {}, more) : null,
    made("p", { className: "hint" }, say(`${name}-todo`)));
}
