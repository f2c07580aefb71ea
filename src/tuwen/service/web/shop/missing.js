// A wrong address: what it was, and the ways home.
import { begin, by, COMMON, say } from "./core.js";

const WORDS = {
  "lost": ["Nothing is at this address", "此地址没有内容"], "lost-why": ["It may have been mistyped, or what stood here is gone.", "网址可能有误，或者原来的内容已不在。"],
  "to-shop": ["To the shop", "前往商店"], "to-bundle": ["To the bundle", "前往模型包"], "to-operator": ["For the operator", "运营页面"],
};

begin({ ...COMMON, ...WORDS }, () => { document.title = `${say("lost")} · tuwen 图文`; });
document.title = `${say("lost")} · tuwen 图文`;
by("address").textContent = location.pathname;
