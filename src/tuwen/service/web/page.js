// The page of one bundle: a form of the columns it reads, and its answer. No library, nothing from elsewhere.
const words = {
  en: { other: "中文", ask: "Predict", program: "From a program", reads: "predicts", from: "from", range: "of {low} to {high}",
    optional: "may be left empty", yes: "yes", no: "no", failed: "The service does not answer." },
  zh: { other: "English", ask: "预测", program: "用程序调用", reads: "预测", from: "依据", range: "范围 {low} 到 {high}",
    optional: "可以留空", yes: "是", no: "否", failed: "服务没有回应。" },
};
const asked = new URLSearchParams(location.search).get("lang") || navigator.language; // as the report does
let language = asked.toLowerCase().startsWith("zh") ? "zh" : "en";
let bundle = null;
const files = { image: ["image/*", "photo.jpg"], audio: ["audio/*", "sound.wav"], shape: [".obj,.stl,.ply", "shape.obj"] };
const by = (id) => document.getElementById(id);
const say = (key) => words[language][key];
const made = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
const spoken = (tag, key) => { // text that changes with the language
  const node = made(tag);
  node.dataset.say = key;
  return node;
};
const short = (number) => Number(number.toPrecision(4)).toString();

function field(input) {
  const name = input.column.split(".").pop();
  const label = made("label", {}, name, made("small", {}, `${input.column} · `, spoken("span", "optional")));
  if (input.kind in files) {
    const file = made("input", { type: "file", name: input.column, accept: files[input.kind][0], multiple: true });
    file.addEventListener("change", () => {
      if (input.kind !== "image") return;
      for (const old of label.querySelectorAll("img")) old.remove();
      label.append(...[...file.files].map((one) => made("img", { src: URL.createObjectURL(one), alt: "" })));
    });
    label.append(file);
  } else if (input.kind === "text") {
    label.append(made("textarea", { name: input.column }));
  } else {
    const type = { number: "number", date: "date" }[input.kind] ?? "text";
    label.append(made("input", { type, name: input.column, step: "any" }));
  }
  return label;
}

function draw() {
  document.documentElement.lang = language;
  by("language").textContent = say("other");
  for (const node of document.querySelectorAll("[data-say]")) node.textContent = say(node.dataset.say);
  if (!bundle) return;
  by("name").textContent = bundle.name;
  document.title = `${bundle.name} · tuwen 图文`;
  const columns = bundle.inputs.map((input) => input.column).join(", ");
  by("about").textContent = `${say("reads")} ${bundle.target ?? bundle.task} ${say("from")} ${columns}`;
  const parts = bundle.inputs.map((i) => `  -F '${i.column}=${i.kind in files ? `@${files[i.kind][1]}` : "…"}'`);
  by("curl").textContent = [`curl ${location.origin}/v1/predict`, ...parts].join(" \\\n");
}

function bar(name, share) {
  const text = `${(100 * share).toFixed(1)} %`;
  return made("div", { className: "bar" }, made("span", { textContent: name }), made("progress", { max: 1, value: share }), text);
}

function show(answer) {
  const value = made("div", { className: "value" });
  const parts = [value];
  if (answer.probability !== undefined) {
    value.textContent = answer.prediction ? say("yes") : say("no");
    parts.push(bar(say("yes"), answer.probability));
  } else if (answer.probabilities) {
    value.textContent = answer.prediction;
    const ranked = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
    parts.push(...ranked.slice(0, 5).map(([name, share]) => bar(name, share)));
  } else {
    value.textContent = typeof answer.prediction === "number" ? short(answer.prediction) : answer.prediction;
    if (bundle.range) {
      const [low, high] = bundle.range.map(short);
      parts.push(say("range").replace("{low}", low).replace("{high}", high));
    }
  }
  if (answer.note) parts.push(made("p", { className: "problem", textContent: answer.note }));
  by("answer").replaceChildren(...parts);
}

function complain(problem) {
  const lines = ["what", "where", "seen", "allowed", "todo"].filter((key) => problem[key]);
  by("answer").replaceChildren(...lines.map((key) => made("p", { className: "problem", textContent: problem[key] })));
}

async function ask(event) {
  event.preventDefault();
  const button = by("form").querySelector("button");
  const body = new FormData();
  for (const [name, value] of new FormData(by("form"))) {
    if (value instanceof File ? value.size : value) body.append(name, value);
  }
  button.disabled = true;
  try {
    const response = await fetch("/v1/predict", { method: "POST", body, headers: { "Accept-Language": language } });
    const answer = await response.json();
    response.ok ? show(answer.predictions[0]) : complain(answer);
  } catch {
    complain({ what: say("failed") });
  } finally {
    button.disabled = false;
    by("answer").hidden = false;
  }
}

by("language").addEventListener("click", () => { language = language === "en" ? "zh" : "en"; draw(); });
by("form").addEventListener("submit", ask);
draw();
fetch("/v1/bundle").then((response) => response.json()).then((found) => {
  bundle = found;
  by("form").replaceChildren(...bundle.inputs.map(field), spoken("button", "ask"));
  draw();
});
