// The chosen point: its figures, where its latency goes, what the device did meanwhile.
const PARTS = [["queue", "#e0a030"], ["prefill, to the first token", "#5aa3cf"], ["decode, to delivery", "#31688e"]];
const SERIES = {
  gpu_util_pct: ["GPU busy", "%", "#0072b2", "#56b4e9"], sm_util_pct: ["SM activity", "%", "#d55e00", "#ff9d5c"],
  cpu_util_pct: ["host CPU", "%", "#0072b2", "#56b4e9"], memory_bytes: ["memory", "GiB", "#009e73", "#3fd3a9"],
  power_w: ["power", "W", "#a8558a", "#e39ac6"],
};
const GIB = 2 ** 30;

/** Choose a point, show it, and where asked go to the panel that tells about it. */
function select(point, { follow = false } = {}) {
  state.selected = point;
  drawStars();
  drawDetails();
  for (const row of document.querySelectorAll("tr[data-point]"))
    row.classList.toggle("selected", Number(row.dataset.point) === point.id);
  if (follow) {
    byId("details").scrollIntoView({ block: "nearest" });
    byId("details").focus({ preventScroll: true });
  }
}

function drawDetails() {
  const panel = byId("details"), point = state.selected;
  panel.querySelectorAll(".js-plotly-plot").forEach(Plotly.purge);
  if (!point) {
    panel.replaceChildren(make("p", { class: "note" },
      "Click a point, or press Enter on a row of a table: here stand its latencies, where the time went and what the device did."));
    return;
  }
  const run = runOf(point), i = point.i;
  const isFine = isValid(point);
  const verdict = make("span", { class: `status ${isFine ? "certified" : "not_met"}` }, text(run.verdict, i));
  const about = `${plural(run.repeats[i], "repeat")}${run.confirmed[i] ? ", measured again with fresh seeds" : ""}`;
  const reasons = [text(run.reason, i), text(run.remedy, i)].filter(Boolean);
  const charts = ["latency", "parts", "timeline"].map(name => make("div", { class: "chart", id: `chart-${name}` }));
  panel.replaceChildren(
    make("h3", {}, labelOf(point)), make("p", {}, verdict, ` ${about}`),
    ...reasons.map(reason => make("p", { class: "note" }, reason)), figureList(point),
    make("h4", {}, "Latency distribution"), charts[0],
    make("h4", {}, "Queue against compute"), charts[1],
    make("h4", {}, run.timelines[i]?.series.cpu_util_pct ? "Host CPU over time (no GPU was watched)" : "GPU over time"), charts[2]);
  drawLatencies(point, charts[0]);
  drawParts(point, charts[1]);
  drawTimeline(point, charts[2]);
}

function figureList(point) {
  const run = runOf(point);
  const names = [...new Set([state.x, state.y, ...run.columns, "output_tokens_per_s", "p50_e2e_ms", "p99_e2e_ms", "p95_ttft_ms", "p95_tpot_ms"])];
  const list = make("dl");
  for (const name of names.filter(n => n in doc.metrics && figure(point, n) !== null))
    list.append(make("dt", {}, doc.metrics[name].label), make("dd", {}, marked(point, name, { unit: true })));
  const chance = run.probability[point.i];
  if (chance !== null)
    list.append(make("dt", {}, "on the frontier"), make("dd", {}, chance < 0.01 ? "< 1%" : chance > 0.99 ? "> 99%" : `${number(100 * chance)}%`));
  return list;
}

function chartLayout(more) {
  const axis = { gridcolor: css("--grid"), linecolor: css("--faint"), zeroline: false, automargin: true, fixedrange: true, tickfont: { color: css("--muted") } };
  const { xaxis, yaxis, ...rest } = more;
  return {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { family: css("--font"), color: css("--ink"), size: 11 },
    margin: { l: 46, r: 14, t: 6, b: 36 }, height: 190, showlegend: false, dragmode: false,
    hoverlabel: { bgcolor: css("--panel"), font: { color: css("--ink") } },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}

const chart = (place, traces, layout) => Plotly.react(place, traces, chartLayout(layout), { displayModeBar: false, responsive: true });
const absent = (place, why) => place.replaceChildren(make("p", { class: "note" }, why));

/** Return the classes whose requests to show: the one asked for, else all and each. */
function digestsOf(point) {
  const every = Object.entries(runOf(point).digests).filter(([, of]) => of[point.i]);
  const wanted = every.filter(([name]) => name === state.ofClass);
  return state.ofClass && wanted.length ? wanted : every;
}

function drawLatencies(point, place) {
  const found = digestsOf(point);
  if (!found.length) return absent(place, runOf(point).no_digest);
  const colours = isDark() ? ["#e8eaed", "#56b4e9", "#ff9d5c", "#3fd3a9"] : ["#222222", "#0072b2", "#d55e00", "#009e73"];
  const traces = found.map(([name, of], at) => ({
    type: "scatter", mode: "lines", name: inert(name || "all requests"), line: { shape: "hv", width: 2, color: colours[at % 4] },
    x: of[point.i].map(v => (Number.isFinite(v) ? v : null)), y: doc.quantiles,
    hovertemplate: "%{y}% within %{x:,.3~g} ms<extra></extra>",
  }));
  const values = traces.flatMap(t => t.x).filter(v => v !== null);
  const isLog = Math.min(...values) > 0 && Math.max(...values) > 12 * Math.min(...values);
  const undelivered = found.some(([, of]) => of[point.i].some(v => !Number.isFinite(v)));
  return chart(place, traces, {
    showlegend: found.length > 1, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    xaxis: { title: { text: `E2E latency (ms)${undelivered ? "; the rest was never delivered" : ""}`, standoff: 4 }, type: isLog ? "log" : "linear", nticks: 6, ...(isLog ? { tickformat: ",", dtick: "D2" } : { rangemode: "tozero" }) },
    yaxis: { title: { text: "% of requests within", standoff: 4 }, range: [0, 101], tickvals: [0, 50, 95] },
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 95, y1: 95, line: { color: css("--muted"), width: 1, dash: "dot" } }],
  });
}

function drawParts(point, place) {
  const prefix = state.ofClass ? `${state.ofClass}.` : "";
  const [queue, first, last] = ["mean_queue_ms", "mean_ttft_ms", "mean_e2e_ms"].map(name => figure(point, prefix + name));
  if (![queue, first, last].every(v => v !== null && Number.isFinite(v)))
    return absent(place, "No mean queue time, TTFT and E2E latency were measured.");
  const spent = [queue, Math.max(first - queue, 0), Math.max(last - first, 0)];
  const names = PARTS.map(([name], at) => `${name}: ${number(spent[at])} ms (${number((100 * spent[at]) / (last || 1))}%)`);
  return chart(place, spent.map((value, at) => ({
    type: "bar", orientation: "h", x: [value], y: [""], name: names[at], marker: { color: PARTS[at][1] }, hovertemplate: `${names[at]}<extra></extra>`,
  })), {
    barmode: "stack", height: 150, showlegend: true, margin: { l: 14, r: 14, t: 4, b: 34 },
    legend: { orientation: "v", y: 1.0, yanchor: "bottom", x: 0, traceorder: "normal" },
    xaxis: { title: { text: `mean E2E latency, ${number(last)} ms in all`, standoff: 4 }, nticks: 6 }, yaxis: { showticklabels: false },
  });
}

function drawTimeline(point, place) {
  const line = runOf(point).timelines[point.i];
  if (!line) return absent(place, runOf(point).no_timeline);
  const names = Object.keys(line.series);
  const units = [...new Set(names.map(name => SERIES[name][1]))];
  const layout = { height: 60 + 95 * units.length, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    grid: { rows: units.length, columns: 1, subplots: units.map((_, at) => [`xy${at ? at + 1 : ""}`]), ygap: 0.15 },
    xaxis: { title: { text: `seconds into the trial${runOf(point).repeats[point.i] > 1 ? " (the first repeat)" : ""}`, standoff: 4 } } };
  units.forEach((unit, at) => {
    layout[`yaxis${at ? at + 1 : ""}`] = { title: { text: unit, standoff: 4 }, rangemode: "tozero", nticks: 4, gridcolor: css("--grid"), fixedrange: true,
      ...(unit === "%" ? { range: [0, 104], tickvals: [0, 50, 100] } : {}) };
  });
  const traces = names.map(name => {
    const [label, unit, light, dark] = SERIES[name], values = line.series[name], at = units.indexOf(unit);
    const width = (line.end - line.start) / values.length;
    return {
      type: "scatter", mode: "lines", name: label, connectgaps: true, yaxis: `y${at ? at + 1 : ""}`, line: { width: 1.8, color: isDark() ? dark : light },
      x: values.map((_, bin) => line.start + (bin + 0.5) * width), y: values.map(v => (v !== null && unit === "GiB" ? v / GIB : v)),
      hovertemplate: `%{x:.1f} s: %{y:.3~g} ${unit}<extra>${label}</extra>`,
    };
  });
  return chart(place, traces, layout);
}
