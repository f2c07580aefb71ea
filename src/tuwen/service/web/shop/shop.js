// The shop: which view an address names, the home page, the search box, who is shopping.
import { ask, begin, by, COMMON, dialog, headed, icon, made, number, picture, say, spoken, tell } from "./core.js";
import { asked, href } from "./address.js";
import { empty, ghosts, grid } from "./cards.js";
import { faultBox } from "./faults.js";
import { basketView, itemView } from "./item.js";
import { photoOf, watchPhotos } from "./photo.js";
import { searchView } from "./search.js";
import { visit } from "./visit.js";
import { WORDS } from "./words.js";

const FIRST = 20;
const MOST = 80;
let drawing = 0;

// --- Where one is -----------------------------------------------------------------------------------------------

function go(wanted, replaced = false) {
  history.replaceState({ ...history.state, y: scrollY }, "");
  history[replaced ? "replaceState" : "pushState"]({}, "", href(wanted));
  return draw();
}

function viewOf(at) {
  if (at.item !== null) return itemView(at);
  if (at.view === "basket") return basketView(go);
  if (at.q !== null || at.photo !== null || at.where.length) return searchView(at, go);
  return homeView();
}

/** The view that the address names; `y` is where a page was that one comes back to. */
async function draw({ y = 0, focus = true } = {}) {
  const mine = ++drawing;
  const at = asked();
  const main = by("main");
  by("words").value = at.q ?? "";
  by("search").querySelector("button[type=submit]").setAttribute("aria-label", say("search"));
  main.setAttribute("aria-busy", "true");
  try {
    const waiting = setTimeout(() => { if (mine === drawing) main.replaceChildren(ghosts(8)); }, 250);
    const view = await viewOf(at).finally(() => clearTimeout(waiting));
    if (mine !== drawing) return;
    main.replaceChildren(view.page);
    document.title = `${view.title} · ${headed(visit.shop.name ?? "tuwen 图文")}`;
    scrollTo(0, y);
    if (focus) main.querySelector("h1")?.focus({ preventScroll: true });
    if (view.ready) {
      await view.ready;
      if (y && mine === drawing) scrollTo(0, y);
    }
  } catch (error) {
    if (mine !== drawing) return;
    const gone = [404, 422].includes(error.status) && at.item; // no shop has an item with such a key
    main.replaceChildren(...(gone
      ? [made("h1", { className: "unseen", tabIndex: -1 }, say("gone")), empty(say("gone"), say("gone-todo"), made("a", { className: "button main", href: href({ q: "" }) }, say("all-items")))]
      : [made("h1", { tabIndex: -1 }, say("title")), faultBox(error, () => draw())]));
    document.title = say(gone ? "gone" : "title");
  } finally {
    if (mine === drawing) main.removeAttribute("aria-busy");
  }
}

/** Links of the shop change the view; others, and those opened beside, are left to the browser. */
function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const to = new URL(link.href);
  if (to.origin !== location.origin || to.pathname !== "/" || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  const { item, position, query } = link.dataset;
  history.replaceState({ ...history.state, y: scrollY }, "");
  history.pushState({}, "", to);
  if (item) {
    const more = position === undefined ? {} : { position: Number(position) };
    visit.did("click", item, query ? { ...more, query } : more).catch((error) => console.warn(error.message));
  }
  draw();
}

// --- Home -------------------------------------------------------------------------------------------------------

async function homeView() {
  const title = visit.known ? say("for-you", { user: visit.known }) : say(visit.looked.length ? "for-visit" : "for-new");
  const heading = made("h1", { tabIndex: -1 }, title);
  const hint = made("p", { className: "lead" }, say("for-why"));
  const place = made("div", {}, ghosts(10));
  const page = made("div", { className: "home" }, made("div", { className: "hero" }, made("div", {}, heading, hint), lately()), shelves(), place);
  const fill = async (count) => {
    try {
      const { items } = await visit.recommended(count);
      listed(items, count, place, fill);
    } catch (error) {
      if (error.status === 404) await instead(heading, hint, place);
      else place.replaceChildren(faultBox(error, () => fill(count)));
    }
  };
  return { title, page, ready: fill(FIRST) };
}

function listed(items, count, place, fill) {
  const { fresh, moved } = count === FIRST ? visit.changed(items.map((one) => one.item)) : { fresh: [], moved: false };
  const news = fresh.length ? say(fresh.length === 1 ? "renewed-one" : "renewed", { count: number(fresh.length) }) : moved ? say("moved") : "";
  tell(news || say("same", { count: number(items.length) }));
  const more = made("button", { type: "button", className: "button", onclick: async () => {
    await fill(Math.min(MOST, count * 2));
    place.querySelectorAll(".card a")[count]?.focus();
  } }, say("more"));
  place.replaceChildren(
    news ? made("p", { className: "note" }, icon("spark"), news) : "",
    grid(items, { fresh, label: say("title") }),
    items.length === count && count < MOST ? made("p", { className: "center" }, more) : "");
}

/** Where nothing recommends: everything there is; where nothing is there: what to do about it. */
async function instead(heading, hint, place) {
  const { search } = visit.shop.parts;
  heading.textContent = search ? say("all-items") : say("nothing-served");
  hint.textContent = search ? say("browse-instead") : "";
  if (!search) {
    heading.className = "unseen"; // the box below says it
    place.replaceChildren(empty(say("nothing-served"), say("nothing-served-todo"), made("a", { className: "button", href: "/operator" }, say("operator"))));
    return;
  }
  const { hits } = await ask("/v1/search", { sort: "popular", size: FIRST * 2 });
  place.replaceChildren(grid(hits, { label: say("all-items") }));
}

/** What she looked at in this tab, the latest first. */
function lately() {
  const items = visit.looked.slice(-6).reverse();
  if (!items.length) return null;
  return made("div", { className: "lately" }, made("h2", {}, say("looked")),
    made("ul", {}, items.map((item) => {
      const link = made("a", { href: href({ item }), "aria-label": item }, picture(item, { alt: "" }));
      link.dataset.item = item;
      return made("li", {}, link);
    })),
    // what a known shopper did stays with her
    visit.known ? null : made("button", { type: "button", className: "plain", onclick: () => { visit.is(""); draw(); } }, say("start-over")));
}

/** The categories, as a way in. */
function shelves() {
  const nav = made("nav", { className: "shelves", "aria-label": say("category") });
  if (!visit.shop.parts.search) return nav;
  ask("/v1/search", { size: 1 }).then(({ facets }) => {
    const chip = (name, where) => made("a", { className: "chip", href: href({ q: "", where }) }, name);
    nav.append(chip(say("all-items"), []), ...(facets.category ?? []).map(({ value }) => chip(spoken(String(value)), [`category=${value}`])));
  }, () => nav.remove());
  return nav;
}

// --- Who is shopping --------------------------------------------------------------------------------------------

function shopper() {
  by("who").replaceChildren(visit.known ?? say("somebody-new"));
  by("shopper").setAttribute("aria-label", `${say("shopper")}: ${visit.known ?? say("somebody-new")}`);
}

async function choose() {
  const users = (begins) => ask(`/v1/users?count=12&begins=${encodeURIComponent(begins)}`, undefined, { patient: false }).then((found) => found.users, () => []);
  const first = await users("");
  const user = await dialog(say("shopper-title"), (end) => {
    const known = made("datalist", { id: "known" }, first.map((one) => made("option", { value: one })));
    const field = made("input", { id: "shopper-key", list: "known", autocomplete: "off", maxLength: 512, required: true, value: visit.known ?? "", oninput: async () => {
      known.replaceChildren(...(await users(field.value)).map((one) => made("option", { value: one })));
    } });
    return [made("p", {}, say("shopper-why")),
      made("button", { type: "button", className: "button wide", onclick: () => end("") }, icon("person"), say("somebody-new")),
      made("form", { className: "stack", onsubmit: (event) => { event.preventDefault(); end(field.value.trim()); } },
        made("label", { htmlFor: "shopper-key" }, say("shopper-key")), made("div", { className: "row" }, field, made("button", { type: "submit", className: "button main" }, say("shopper-go"))), known),
      first.length ? made("h3", {}, say("shopper-known")) : "",
      made("ul", { className: "chips" }, first.map((one) => made("li", {}, made("button", { type: "button", className: "chip", onclick: () => end(one) }, one))))];
  });
  if (user === null) return;
  visit.is(user);
  shopper();
  tell(say("shopper-is", { user: user || say("somebody-new") }));
  go({});
}

// --- Begin ------------------------------------------------------------------------------------------------------

function words() {
  by("name").textContent = headed(visit.shop.name ?? "tuwen 图文");
  by("photo").hidden = !visit.shop.photos; // an index without pictures has no answer to one
  by("words").dataset.placeholder = visit.shop.photos ? "search-hint" : "search-words-hint";
  by("words").placeholder = say(by("words").dataset.placeholder);
  shopper();
  const count = visit.basket.length;
  by("basket").href = href({ view: "basket" });
  document.querySelector(".brand").href = href({});
  by("basket").querySelector("b").textContent = count ? number(count) : "";
  by("basket").setAttribute("aria-label", `${say("basket")} (${number(count)})`);
}

history.scrollRestoration = "manual";
begin({ ...COMMON, ...WORDS }, () => { words(); draw({ focus: false }); });
for (const [id, name] of [["photo", "camera"], ["shopper", "person"], ["basket", "basket"]]) by(id).prepend(icon(name));
by("search").querySelector("button[type=submit]").append(icon("search"));
by("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const { photo } = asked();
  go({ q: by("words").value.trim(), photo: photo && photoOf(photo) ? photo : null });
});
by("shopper").addEventListener("click", choose);
watchPhotos((photo) => go({ photo, q: by("words").value.trim() || null }), () => visit.shop.photos);
document.addEventListener("click", follow);
document.addEventListener("basket", words);
addEventListener("popstate", (event) => draw({ y: event.state?.y ?? 0 }));
by("main").replaceChildren(ghosts(10));
try {
  visit.shop = await ask("/v1/shop");
} catch { /* the view that is drawn says what is wrong */ }
words();
draw({ focus: false, y: history.state?.y ?? 0 });
