// Small charts as SVG: no library, no inline style, so the policy of the pages stays strict. Each has its words beside it.
import { drawn, made } from "./core.js";

const W = 320;
const short = (value) => String(Number(value.toPrecision(2)));

/** Values with their intervals on one scale: `rows` of {name, value, low, high, kind}; `form` writes a number. */
export function intervals(rows, form, label) {
  const known = rows.filter((row) => row.value !== null);
  const ends = known.flatMap((row) => [row.value, row.low ?? row.value, row.high ?? row.value]);
  const least = Math.min(...ends), most = Math.max(...ends), room = (most - least) * 0.08 || Math.abs(most) * 0.1 || 1;
  const x = (value) => 8 + ((value - least + room) / (most - least + 2 * room)) * (W - 16);
  return made("div", { className: "intervals", role: "table", "aria-label": label }, known.map((row) => {
    const marks = [drawn("line", { x1: 0, x2: W, y1: 12, y2: 12, class: "rail" })];
    if (row.low !== null && row.high !== null) marks.push(drawn("line", { x1: x(row.low), x2: x(row.high), y1: 12, y2: 12, class: "range" }));
    marks.push(drawn("line", { x1: x(row.value), x2: x(row.value), y1: 12, y2: 12, class: "dot" }));
    return made("div", { role: "row", className: `interval ${row.kind ?? ""}` },
      made("span", { role: "rowheader" }, row.name),
      made("span", { role: "cell", className: "plot" }, drawn("svg", { viewBox: `0 0 ${W} 24`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...marks)),
      made("b", { role: "cell" }, form(row)));
  }));
}

/** Counts as bars: `rows` of {name, value, bad}. */
export function bars(rows, form, label) {
  const most = Math.max(...rows.map((row) => row.value), 1e-12);
  return made("ul", { className: "bars", "aria-label": label }, rows.map((row) => made("li", { className: row.bad ? "bad" : "" },
    made("span", {}, row.name), made("b", {}, form(row.value)),
    drawn("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawn("rect", { width: 100, height: 6, class: "rail" }), drawn("rect", { width: (100 * row.value) / most, height: 6, class: "fill" })))));
}

/** What was stated against what came true: points of {predicted, observed, observed_low, observed_high}. */
export function reliability(bins, label, [below, beside]) {
  const values = bins.flatMap((one) => [one.predicted, one.observed, one.observed_low ?? one.observed, one.observed_high ?? one.observed]);
  const least = Math.min(...values), most = Math.max(...values), span = most - least || 1, side = 260, pad = 40;
  const x = (value) => pad + ((value - least) / span) * (side - pad - 10);
  const y = (value) => side - pad - ((value - least) / span) * (side - pad - 10);
  const svg = drawn("svg", { viewBox: `0 0 ${side} ${side}`, class: "square", role: "img", "aria-label": label },
    drawn("line", { x1: x(least), y1: y(least), x2: x(most), y2: y(most), class: "ideal" }),
    ...bins.flatMap((one) => [
      drawn("line", { x1: x(one.predicted), x2: x(one.predicted), y1: y(one.observed_low ?? one.observed), y2: y(one.observed_high ?? one.observed), class: "range" }),
      drawn("circle", { cx: x(one.predicted), cy: y(one.observed), r: 5 })]));
  for (const value of [least, (least + most) / 2, most]) {
    const across = drawn("text", { x: x(value), y: side - pad + 18, "text-anchor": "middle" }), up = drawn("text", { x: pad - 8, y: y(value) + 4, "text-anchor": "end" });
    across.textContent = up.textContent = short(value);
    svg.append(across, up);
  }
  return made("figure", { className: "chart" }, made("figcaption", {}, beside), svg, made("p", { className: "hint" }, below));
}

/** One measure over the epochs of a training: `parts` of train and validation, each a value an epoch. */
export function curve({ epochs, parts }, name, words) {
  const values = Object.values(parts).flat().filter((value) => value !== null);
  const least = Math.min(...values), most = Math.max(...values), span = most - least || 1, high = 190, left = 44, foot = 26;
  const first = Math.min(...epochs), last = Math.max(...epochs);
  const x = (epoch) => left + ((epoch - first) / (last - first || 1)) * (W - left - 12);
  const y = (value) => high - foot - ((value - least) / span) * (high - foot - 12);
  const lines = Object.entries(parts).flatMap(([part, found]) => {
    const points = found.flatMap((value, i) => (value === null ? [] : [`${x(epochs[i]).toFixed(1)},${y(value).toFixed(1)}`]));
    return [drawn("polyline", { points: points.join(" "), class: part }), ...points.map((point) => drawn("circle", { cx: point.split(",")[0], cy: point.split(",")[1], r: epochs.length > 30 ? 0 : 2.5, class: part }))];
  });
  const said = Object.entries(parts).map(([part, found]) => `${words[part]}: ${short(found[0] ?? NaN)} → ${short(found.at(-1) ?? NaN)}`).join("; ");
  const svg = drawn("svg", { viewBox: `0 0 ${W} ${high}`, class: "lines", role: "img", "aria-label": `${name}. ${said}` });
  for (const value of [least, (least + most) / 2, most]) {
    const text = drawn("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" });
    text.textContent = short(value);
    svg.append(drawn("line", { x1: left, x2: W - 12, y1: y(value), y2: y(value), class: "rail" }), text);
  }
  for (const epoch of first === last ? [first] : [first, last]) {
    const text = drawn("text", { x: x(epoch), y: high - 6, "text-anchor": epoch === first ? "start" : "end" });
    text.textContent = `${words.epoch} ${epoch}`;
    svg.append(text);
  }
  svg.append(...lines);
  return made("figure", { className: "chart" },
    made("figcaption", {}, made("b", {}, name), Object.keys(parts).map((part) => made("span", { className: `legend ${part}` }, words[part]))), svg);
}

/** The last minutes as a line; one number each time it was asked. */
export function spark(values, label) {
  const most = Math.max(...values, 1e-9), step = W / Math.max(1, values.length - 1);
  const points = values.map((value, i) => `${(i * step).toFixed(1)},${(44 - (40 * value) / most).toFixed(1)}`).join(" ");
  return drawn("svg", { viewBox: `0 0 ${W} 48`, preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": label },
    ...(values.length > 1 ? [drawn("polygon", { points: `0,48 ${points} ${W},48`, class: "area" }), drawn("polyline", { points, class: "line" })] : []));
}
