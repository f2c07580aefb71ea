// Who is shopping, what she did in this tab, and telling it to the shop.
import { ask, keep, kept, key } from "./core.js";

const list = (name) => JSON.parse(kept(sessionStorage, name) ?? "[]");
const put = (name, values) => keep(sessionStorage, name, values.length ? JSON.stringify(values) : null);

/** A key that no other visit has. */
export function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID is missing where a page did not come by HTTPS
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const visit = {
  shop: { keeps: true, parts: {} },
  /** The key of a shopper; null for somebody new. */
  get known() { return kept(sessionStorage, "shopper"); },
  /** Under which key events are kept. */
  get user() { return this.known ?? this.session; },
  get session() {
    if (!kept(sessionStorage, "session")) keep(sessionStorage, "session", `visitor-${fresh()}`);
    return kept(sessionStorage, "session");
  },
  get looked() { return list("looked"); },
  get basket() { return list("basket"); },
  set basket(items) { put("basket", items); document.dispatchEvent(new Event("basket")); },

  /** Somebody else is shopping: nothing of the visit before stays. */
  is(user) {
    keep(sessionStorage, "shopper", user || null);
    for (const name of ["session", "looked", "basket", "listed"]) keep(sessionStorage, name, null);
    document.dispatchEvent(new Event("basket"));
  },

  /** An event; the next recommendation knows it. */
  async did(kind, item, more = {}) {
    if (kind !== "cart") put("looked", [...this.looked.filter((one) => one !== item), item].slice(-30));
    if (!this.shop.keeps) return false;
    const event = { event: fresh(), user: this.user, item, kind, session: this.session, ...more };
    await ask("/v1/events", { events: [event] }, { patient: Boolean(key()) });
    return true;
  },

  recommended(count) {
    // what is kept there need not be told again
    return ask("/v1/recommend", this.shop.keeps ? { user: this.user, count } : { user: this.known, clicked: this.looked, count });
  },

  /** Items of a list that were not in the one before, and whether the others stand in another order. */
  changed(items) {
    const before = list("listed");
    put("listed", items);
    if (!before.length) return { fresh: [], moved: false };
    return { fresh: items.filter((item) => !before.includes(item)), moved: items.join("\n") !== before.join("\n") };
  },
};
