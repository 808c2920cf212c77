// How a point looks, what stands at it, and the axes that hold it.
const LOG_FROM = { higher: 20, lower: 8 };

const isDark = () => document.documentElement.dataset.theme === "dark"
  || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isNarrow = () => matchMedia("(max-width: 640px)").matches;
/** plotly reads a few tags in its texts: none of ours has any. */
const inert = said => said.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function colourOf(point) {
  const run = runOf(point), theme = isDark() ? "dark" : "light";
  if (!several()) return run.legend[run.colour[point.i]][theme];
  return doc.curve_colours[point.series % doc.curve_colours.length][theme];
}

const curveSymbol = series => doc.curve_symbols[series % doc.curve_symbols.length];

function symbolOf(point) {
  const name = several() ? curveSymbol(point.series) : text(runOf(point).symbol, point.i);
  return isValid(point) ? name : `${name}-open`;
}

function sizeOf(point) {
  return Math.min(8 + 0.9 * Math.log2(runOf(point).batch_size[point.i] || 1), 16);
}

function wrapped(said, width) {
  const lines = [""];
  for (const word of said.split(" "))
    if (`${lines.at(-1)} ${word}`.length > width && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = `${lines.at(-1)} ${word}`.trim();
  return lines.map(inert).join("<br>");
}

function hoverOf(point) {
  const run = runOf(point);
  const names = [...new Set([state.x, state.y, run.throughput, run.latency])];
  const reason = text(run.reason, point.i);
  return [
    `<b>${wrapped(labelOf(point), 52)}</b>`,
    ...names.map(name => `${inert(doc.metrics[name].short)}: ${inert(marked(point, name, { unit: true }))}`),
    `${inert(text(run.verdict, point.i))}, ${plural(run.repeats[point.i], "repeat")}`,
    ...(reason ? [wrapped(reason.slice(0, 240), 60)] : []),
  ].join("<br>");
}

function drawable(point) {
  return Number.isFinite(figure(point, state.x)) && Number.isFinite(figure(point, state.y))
    && figure(point, state.x) !== null && figure(point, state.y) !== null;
}

/** Return the axis that the valid points need: one far off does not squash them. */
function axisOf(name, values, limits) {
  const metric = doc.metrics[name];
  const near = limits.filter(l => values.length && l <= Math.max(...values) * 2 && l >= Math.min(...values) / 2);
  const all = [...values, ...near];
  let low = Math.min(...all), high = Math.max(...all);
  if (!all.length) [low, high] = [0, 1];
  const isLog = low > 0 && high / low > (LOG_FROM[metric.better] ?? 20);
  let range;
  if (isLog) {
    const margin = (high / low) ** 0.09;
    range = [Math.log10(low / margin), Math.log10(high * margin)];
  } else if (low < 0 || low > 0.6 * high) {
    const pad = 0.3 * (high - low) || 0.2 * Math.abs(high) || 1;
    range = [low - pad, high + pad];
  } else range = [0, (high || 1) * 1.12];
  return { isLog, range };
}

function axisLayout(name, across, axis) {
  const { label, better, axis: counted, unit } = doc.metrics[name];
  const said = better === null ? "" : better === "higher" ? "  → better" : "  ← better";
  return {
    title: { text: inert(`${label}${counted ? ` (${counted})` : ""}`) + said, standoff: 8, font: { size: 13 } },
    type: axis.isLog ? "log" : "linear",
    ...(state.everything ? { autorange: true } : { range: axis.range }),
    ...(axis.isLog ? { dtick: axis.range[1] - axis.range[0] > 1.4 ? 1 : "D2" } : {}),
    ...(unit === "share" ? { tickformat: ".0%" } : { tickformat: axis.isLog ? "," : "" }),
    ...(across && isNarrow() ? { nticks: 5 } : {}),
    gridcolor: css("--grid"), linecolor: css("--faint"), zeroline: false, automargin: true,
    tickfont: { color: css("--muted") }, separatethousands: true,
  };
}
