// What both pages stand on: language, elements, asking the API, problems, pictures. No library, nothing from elsewhere.
const root = document.documentElement;
export const by = (id) => document.getElementById(id);

// --- Kept in this browser ------------------------------------------------------------------------------------------

export function kept(storage, key) {
  try { return storage.getItem(`tuwen.${key}`); } catch { return null; } // a private window may refuse
}
export function keep(storage, key, value) {
  try {
    if (value === null) storage.removeItem(`tuwen.${key}`);
    else storage.setItem(`tuwen.${key}`, value);
  } catch { /* it is then not remembered */ }
}

// --- Language: as the address asks, else as it was chosen, else the browser's -----------------------------------------

const chosen = new URLSearchParams(location.search).get("lang") || kept(localStorage, "language") || navigator.language;
export let language = chosen.toLowerCase().startsWith("zh") ? "zh" : "en";
const dictionary = { en: {}, zh: {} };

export function teach(words) {
  for (const [key, [en, zh]] of Object.entries(words)) { dictionary.en[key] = en; dictionary.zh[key] = zh; }
}
export function say(key, values = {}) {
  const text = dictionary[language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
/** The words of `key` for so many, or those of `key-one` for one. */
export const counted = (key, count, values = {}) => say(count === 1 ? `${key}-one` : key, { ...values, count: number(count) });
/** A text that came in both languages. */
export const either = (both) => (both ? both[language] ?? both.en ?? "" : "");
export const locale = () => (language === "zh" ? "zh-CN" : "en-GB");
export const number = (value, options = {}) => new Intl.NumberFormat(locale(), options).format(value).replace("-", "−");
export const moment = (text, options = { dateStyle: "medium" }) => {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? String(text) : new Intl.DateTimeFormat(locale(), options).format(time);
};
const BOTH = /^([\x20-\x7e]*[A-Za-z][\x20-\x7e]*?)(?:\s*\/\s*|\s+)([\u3400-\u9fff][\u3400-\u9fff\s·（）、，]*)$/u;
/** The two words of a shop that writes both in one cell, "Home 家居" or "teapot / 茶壶": the one of the chosen language. */
export function spoken(text) {
  const found = BOTH.exec(text ?? "");
  return found ? found[language === "zh" ? 2 : 1] : text;
}
/** The same of several that stand in one list: what would look like another of them stays whole. */
export function apart(texts) {
  const cut = texts.map(spoken);
  return texts.map((text, i) => (cut.filter((one) => one === cut[i]).length > 1 ? text : cut[i]));
}
/** With a capital letter where it begins. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
/** A name in the words of a table or a file, "my-shop" or "shoe_size", as a heading. */
export function headed(name) {
  return /^[\x20-\x7e]+$/.test(name) && name === name.toLowerCase() ? sentence(name.replace(/[-_]+/g, " ")) : name;
}

function speak() {
  root.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-say]")) node.textContent = say(node.dataset.say);
  for (const attribute of ["placeholder", "aria-label", "title"]) {
    for (const node of document.querySelectorAll(`[data-${attribute}]`)) {
      node.setAttribute(attribute, say(node.getAttribute(`data-${attribute}`)));
    }
  }
}

// --- Elements -------------------------------------------------------------------------------------------------------

/** An element. What a shop wrote goes in as text only: there is no innerHTML in these pages. */
export function made(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in node && !name.includes("-") && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const SVG = "http://www.w3.org/2000/svg";
export function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const ICONS = {
  search: "M10.5 18a7.5 7.5 0 1 1 0-15 7.5 7.5 0 0 1 0 15zM16 16l5 5",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c1-4 4-5.5 7.5-5.5s6.500 1.500 7.500 5.500",
  basket: "M3 9h18l-2 11H5zM8 9l4-6 4 6",
  close: "M6 6l12 12M18 6L6 18",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  spark: "M12 3l2 6.500L20.500 12 14 14.500 12 21l-2-6.500L3.500 12 10 9.500z",
  filter: "M4 6h16M7 12h10M10 18h4",
  check: "M5 12.500l4.500 4.500L19 7.500",
  alert: "M12 4l9 16H3zM12 10v4M12 17v.2",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5",
};
export const icon = (name) =>
  drawn("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, drawn("path", { d: ICONS[name] }));

let quiet = 0;
/** For a screen reader, and for all where `seen`. */
export function tell(text, seen = false) {
  const place = by("told");
  place.textContent = text;
  place.classList.toggle("seen", seen);
  clearTimeout(quiet);
  if (seen) quiet = setTimeout(() => place.classList.remove("seen"), 3500);
}

// --- Asking ---------------------------------------------------------------------------------------------------------

export class Problem extends Error {
  constructor(fields) { super(fields.what); this.fields = fields; }
  get status() { return this.fields.status ?? 0; }
}

export const key = () => kept(sessionStorage, "key");
let asking = null; // one dialog at a time, however many requests are refused

/** JSON of the API. Where it asks for a key, so does the page, once, and then asks again. */
export async function ask(path, body, { method, raw = false, patient = true } = {}) {
  const headers = { "Accept-Language": language === "zh" ? "zh-CN" : "en" }; // as chosen here, which the browser's need not be
  if (key()) headers.Authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method: method ?? (body === undefined ? "GET" : "POST"), headers, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem({ what: say("unreachable"), todo: say("unreachable-todo") });
  }
  if (answer.ok) return raw ? answer : answer.json();
  const problem = new Problem(await answer.json().catch(() => ({ what: answer.statusText, status: answer.status })));
  if ((problem.status === 401 || problem.status === 403) && patient) {
    asking ??= askForKey(problem.status).finally(() => { asking = null; });
    if (await asking) return ask(path, body, { method, raw, patient });
  }
  throw problem;
}

/** Words for a problem: what it is, what to do; more of it on demand, and what the service says where `words` are others. */
export function problemBox(error, retry, words = null) {
  if (!(error instanceof Problem)) { console.error(error); error = new Problem({ what: say("page-fault") }); }
  const { where, seen, allowed, request } = error.fields;
  const { what, todo } = words ?? error.fields;
  const more = Object.entries({ what: words ? error.fields.what : null, where, seen, allowed, request }).filter(([, value]) => value);
  return made("div", { className: "problem", role: "alert" },
    icon("alert"),
    made("div", {},
      made("p", { className: "what" }, sentence(what)),
      todo ? made("p", { className: "todo" }, sentence(todo)) : null,
      more.length ? made("details", {}, made("summary", {}, say("details")),
        made("dl", {}, more.flatMap(([name, value]) => [made("dt", {}, say(`problem-${name}`)), made("dd", {}, String(value))]))) : null,
      retry ? made("button", { type: "button", className: "button", onclick: retry }, say("again")) : null));
}

/** Asks for something in a dialog of the page; what `filled` puts in calls `end(value)`, Escape ends with null. */
export function dialog(title, filled) {
  return new Promise((resolve) => {
    const from = document.activeElement;
    const heading = made("h2", { id: "dialog-title" }, title);
    const box = made("dialog", { "aria-labelledby": "dialog-title" });
    const end = (value) => { box.close(); box.remove(); from?.focus?.(); resolve(value); };
    box.append(
      made("header", {}, heading, made("button", { type: "button", className: "round", "aria-label": say("close"), onclick: () => end(null) }, icon("close"))),
      ...filled(end));
    box.addEventListener("cancel", (event) => { event.preventDefault(); end(null); });
    box.addEventListener("click", (event) => { if (event.target === box) end(null); });
    document.body.append(box);
    box.showModal();
  });
}

function askForKey(status) {
  return dialog(say("key-title"), (end) => {
    const field = made("input", { type: "password", autocomplete: "off", required: true, id: "key" });
    return [made("form", { className: "stack", onsubmit: (event) => {
      event.preventDefault();
      keep(sessionStorage, "key", field.value.trim());
      end(true);
    } },
    made("p", {}, say(status === 403 ? "key-role" : key() ? "key-wrong" : "key-why")),
    made("label", { htmlFor: "key" }, say("key-label")), field,
    made("p", { className: "hint" }, say("key-kept")),
    made("button", { type: "submit", className: "button main" }, say("key-go")))];
  });
}

// --- Pictures -------------------------------------------------------------------------------------------------------

/** A picture of an item. An <img> sends no key, so with one the picture is asked for and shown from memory. */
export function picture(item, { place = 0, count = 1, alt = "", eager = false } = {}) {
  if (!count) return made("div", { className: "no-picture", role: "img", "aria-label": say("no-picture") }, icon("camera"));
  const path = `/v1/items/${encodeURIComponent(item)}/pictures/${place}`;
  const image = made("img", { alt, loading: eager ? "eager" : "lazy", decoding: "async", width: 320, height: 320 });
  image.addEventListener("error", () => image.replaceWith(picture(item, { count: 0 })), { once: true });
  if (key()) {
    ask(path, undefined, { raw: true, patient: false }).then((answer) => answer.blob())
      .then((blob) => { image.src = URL.createObjectURL(blob); }).catch(() => image.dispatchEvent(new Event("error")));
  } else image.src = path;
  return image;
}

// --- Begin ----------------------------------------------------------------------------------------------------------

function theme(name) {
  if (name) root.dataset.theme = name;
  else delete root.dataset.theme;
}

/** Words, language, light and dark; `draw` is called again when the language changes. */
export function begin(words, draw) {
  teach(words);
  theme(kept(localStorage, "theme"));
  const choose = (name) => {
    language = name;
    keep(localStorage, "language", name);
    const address = new URL(location);
    if (address.searchParams.has("lang")) { // the address would win after a reload
      address.searchParams.set("lang", name);
      history.replaceState(history.state, "", address);
    }
    show();
    draw();
  };
  const show = () => {
    speak();
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === language));
    }
  };
  for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => choose(button.dataset.language));
  by("theme").append(icon("sun"));
  by("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    theme(dark ? "light" : "dark");
    keep(localStorage, "theme", dark ? "light" : "dark");
  });
  show();
}

export const COMMON = {
  "skip": ["Skip to the content", "跳到正文"], "theme": ["Light or dark", "浅色或深色"], "language": ["Language", "语言"],
  "close": ["Close", "关闭"], "again": ["Try again", "重试"], "details": ["More about it", "详细信息"],
  "problem-what": ["the service says", "服务的说明"], "problem-where": ["where", "位置"], "problem-seen": ["seen", "实际"], "problem-allowed": ["allowed", "允许"], "problem-request": ["request", "请求编号"],
  "unreachable": ["The service does not answer.", "服务没有响应。"],
  "unreachable-todo": ["Look whether it still runs, and whether this device is connected.", "请检查服务是否仍在运行、本设备是否联网。"],
  "page-fault": ["This page ran into a fault of its own.", "页面自身出了错。"], "no-picture": ["No picture", "没有图片"],
  "key-title": ["This service asks for a key", "此服务需要密钥"], "key-label": ["API key", "API 密钥"], "key-go": ["Go on", "继续"],
  "key-why": ["Who runs it makes one: tuwen key HOME --name NAME --role shop (or operator).", "由服务的管理者创建：tuwen key HOME --name NAME --role shop（或 operator）。"],
  "key-wrong": ["That key is not known. It may have been ended.", "此密钥无效，可能已被停用。"],
  "key-role": ["That key may not do this. A key with the role operator may.", "此密钥权限不足，需要 operator 角色的密钥。"],
  "key-kept": ["It is kept until this tab is closed, and sent to this service only.", "密钥只保存到关闭此标签页为止，且只发送给本服务。"],
  "loading": ["Loading…", "加载中…"], "cancel": ["Cancel", "取消"],
};
