// Where one is: every view has an address of its own.
const KEYS = ["item", "view", "q", "photo", "where", "sort", "page"];

export function asked() {
  const sent = new URLSearchParams(location.search);
  return {
    item: sent.get("item"), view: sent.get("view"), q: sent.get("q"), photo: sent.get("photo"), where: sent.getAll("where"),
    sort: sent.get("sort") || "relevance", page: Math.max(1, Number.parseInt(sent.get("page"), 10) || 1),
  };
}

/** The address of a view; the language that an address asks for goes along. */
export function href(wanted) {
  const sent = new URLSearchParams();
  for (const key of KEYS) {
    for (const value of [wanted[key] ?? []].flat()) {
      const usual = (key === "sort" && value === "relevance") || (key === "page" && value === 1);
      if (!usual) sent.append(key, value);
    }
  }
  const lang = new URLSearchParams(location.search).get("lang");
  if (lang) sent.set("lang", lang);
  return sent.size ? `/?${sent}` : "/";
}
