// Figures as report/text.py writes them.
const MISSING = "—";

/** Round as Python's `.3g` does: a tie goes to the even digit, JavaScript's goes up. */
function significant(value, digits) {
  const [mantissa, exponent] = value.toExponential(90).split("e");
  const kept = mantissa.replace(".", "").slice(0, digits);
  const rest = mantissa.replace(".", "").slice(digits);
  const isTie = /^50*$/.test(rest) && Number(kept.at(-1)) % 2 === 0;
  return isTie ? Number(`${kept[0]}.${kept.slice(1) || 0}e${exponent}`) : Number(value.toPrecision(digits));
}

function whole(value) {
  const floor = Math.floor(value), rest = value - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
}

function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return MISSING;
  if (value < 0) return (value === -Infinity ? "−" : "-") + number(-value);
  if (value === Infinity) return "∞";
  if (value >= 100) return String(whole(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  if (value >= 1e-4 || value === 0) return String(significant(value, 3));
  return significant(value, 3).toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
}

function withUnit(name, value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return number(value);
  const { unit, counts } = doc.metrics[name];
  if (unit === "ms") return value >= 1000 ? `${number(value / 1e3)} s` : `${number(value)} ms`;
  if (unit === "share") return `${number(100 * value)}%`;
  if (unit === "%") return `${number(value)}%`;
  return [number(value), counts].filter(Boolean).join(" ");
}

/** A figure without its unit, its interval in brackets, `~` where samples are too few. */
function marked(point, name, { unit = false } = {}) {
  const run = doc.runs[point.run];
  const scale = doc.metrics[name].unit === "share" && !unit ? 100 : 1;
  const said = value => (unit ? withUnit(name, value) : number(value === null ? null : scale * value));
  const low = text(run.low, point.i).split(" ").includes(name) ? "~" : "";
  const value = figure(point, name);
  const [from, to] = interval(point, name);
  if (from === null || to === null) return `${low}${said(value)}`;
  return `${low}${said(value)} (${range(said(value), said(from), said(to))})`;
}

/** Return an interval, its unit once where it is the figure's own: `188–∞`, `961 ms–1.2 s`. */
function range(said, from, to) {
  const unitOf = words => words.slice(words.match(/^[-−]?[\d.,e-]*/)[0].length);
  const isSame = end => end === "∞" || unitOf(end) === unitOf(said);
  const bare = end => (end === "∞" ? end : end.slice(0, end.length - unitOf(end).length));
  return isSame(from) && isSame(to) ? `${bare(from)}–${bare(to)}` : `${from}–${to}`;
}

function plural(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}
