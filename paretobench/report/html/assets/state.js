// What is shown: the data, read once, and what the reader chose.
let doc = null;
const points = []; // {run, i, id, series}, of every run in the order given
const series = []; // {name}, what has a colour of its own among several runs: a run, or each variant of it
const state = { x: "", y: "", ofClass: "", picked: {}, goals: [], selected: null, everything: false };
const FILTERS = [["run", "run"], ["variant", "variant"], ["workload", "workload"], ["policy", "policy"],
  ["batching", "batching"], ["batch", "batch"], ["wait", "wait"], ["load", "load"]];

/** Return a deflated text that stands in the page. */
async function unpack(id) {
  if (typeof DecompressionStream === "undefined")
    throw new Error("This browser cannot unpack the page's data: it lacks DecompressionStream. "
      + "Chrome 80, Firefox 113, Safari 16.4 and newer have it; report.md says the same in text.");
  const raw = atob(byId(id).textContent), packed = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) packed[i] = raw.charCodeAt(i);
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  byId(id).remove();
  return new Response(plain).text();
}

async function readDocument() {
  const script = document.createElement("script"); // the policy knows its hash
  script.textContent = await unpack("plotly");
  document.head.append(script);
  // no name can be taken for a figure without end: that is no text
  doc = JSON.parse(await unpack("data"), (_, v) => (typeof v?.infinite === "number" ? v.infinite * Infinity : v));
  doc.runs.forEach((run, at) => {
    const first = series.length;
    const variants = run.variants.length ? run.variants : [""];
    series.push(...variants.map(variant => ({ name: [run.name, variant].filter(Boolean).join(" · ") })));
    run.label.forEach((_, i) => points.push({ run: at, i, id: points.length, series: first + Math.max(variants.indexOf(text(run.variant, i)), 0) }));
  });
  state.x = doc.runs[0].throughput;
  state.y = doc.runs[0].latency;
}
const runOf = point => doc.runs[point.run];
const figure = (point, name) => runOf(point).figures[name]?.[point.i] ?? null;
const interval = (point, name) => (runOf(point).intervals[name] ?? [[], []]).map(ends => ends[point.i] ?? null);
const text = (column, i) => column.values[column.codes[i]];
const isValid = point => runOf(point).valid[point.i] === 1;
const several = () => doc.runs.length > 1;
const labelOf = point => (several() ? `${runOf(point).name}: ` : "") + runOf(point).label[point.i];
const setting = (point, name) => (name === "run" ? runOf(point).name : text(runOf(point)[name], point.i));
const curveOf = point => JSON.stringify([point.run, setting(point, "variant"), setting(point, "workload")]);
const goalMetric = name => doc.metrics[name]?.better ?? null;

/** Return the values of a setting: numbers by size, loads as people count, else as measured. */
function valuesOf(name) {
  const numeric = { batch: "batch_size", wait: "wait_ms" }[name];
  const found = new Map();
  for (const p of points) {
    const value = setting(p, name);
    if (value !== "" && !found.has(value)) found.set(value, numeric ? runOf(p)[numeric][p.i] : found.size);
  }
  const natural = (a, b) => a.localeCompare(b, "en", { numeric: true });
  return [...found.keys()].sort((a, b) => (name === "load" ? natural(a, b) : found.get(a) - found.get(b)));
}

/** Return the points that every filter lets through; a filter with nothing picked lets all. */
function shownPoints() {
  const active = Object.entries(state.picked).filter(([, picked]) => picked.size);
  return points.filter(p => active.every(([name, picked]) => picked.has(setting(p, name))));
}

/** Return the frontier of the chosen axes, a list of points for each curve, by rising x. */
function frontiers(shown) {
  const betterX = goalMetric(state.x), betterY = goalMetric(state.y);
  if (!betterX || !betterY) return [];
  const curves = new Map();
  for (const p of shown.filter(isValid)) {
    if (!curves.has(curveOf(p))) curves.set(curveOf(p), []);
    curves.get(curveOf(p)).push(p);
  }
  const values = (rivals, name) => rivals.map(p => figure(p, name) ?? NaN);
  return [...curves.values()]
    .map(rivals => nonDominated(values(rivals, state.x), values(rivals, state.y), betterX, betterY)
      .map(i => rivals[i]))
    .filter(front => front.length);
}

/** Make an element; text is only ever text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

const byId = id => document.getElementById(id);
