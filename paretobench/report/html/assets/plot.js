// The picture: who is where, and who is beaten by nobody.
const MOST_COLOURS = 7; // that a legend explains
const DASHES = ["solid", "dash", "dot", "dashdot"];
let plotAxes = []; // across and up, as last drawn

/** Return the traces of the points, one for each entry of the legend. */
function pointTraces(shown) {
  const groups = new Map();
  for (const p of shown.filter(drawable)) {
    const key = several() ? p.series : runOf(p).colour[p.i];
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(p);
  }
  const { legend: entries, colour_heading } = doc.runs[0];
  const prefix = { "wait timeout": "wait ", "KV budget": "KV budget " }[colour_heading] ?? "";
  const legend = key => (several() ? series[key].name : prefix + entries[key].label);
  const paper = css("--paper");
  const { size } = groups, keys = [...groups.keys()].sort((a, b) => a - b);
  const spread = new Set(Array.from({ length: MOST_COLOURS }, (_, k) => keys[Math.round((k * (size - 1)) / (MOST_COLOURS - 1))]));
  for (const members of groups.values()) members.sort((a, b) => isValid(a) - isValid(b)); // valid on top
  return [...groups.entries()].sort(([a], [b]) => a - b).flatMap(([key, members]) => [{
    ...legendEntry(legend(key), several() ? curveSymbol(key) : "circle", colourOf(members[0])), legendgroup: `of ${key}`,
    showlegend: several() || size <= MOST_COLOURS || spread.has(key),
  }, {
    type: "scatter", mode: "markers", name: inert(legend(key)), showlegend: false, legendgroup: `of ${key}`,
    x: members.map(p => figure(p, state.x)), y: members.map(p => figure(p, state.y)),
    customdata: members.map(p => p.id),
    text: members.map(hoverOf), hovertemplate: "%{text}<extra></extra>",
    marker: {
      color: members.map(colourOf), symbol: members.map(symbolOf), size: members.map(sizeOf),
      opacity: members.map(p => (isValid(p) ? 0.95 : 0.75)),
      line: { width: members.map(p => (isValid(p) ? 0.8 : 1.5)), color: members.map(p => (isValid(p) ? paper : colourOf(p))) },
    },
  }]);
}

function frontTraces(fronts) {
  const workloads = valuesOf("workload");
  const rising = goalMetric(state.x) === "higher";
  const own = several() || valuesOf("variant").length > 1;
  return fronts.map((front, at) => {
    const workload = setting(front[0], "workload");
    const named = [several() ? runOf(front[0]).name : "", setting(front[0], "variant"), workloads.length > 1 ? workload : ""];
    return {
      type: "scatter", mode: "lines", hoverinfo: "skip",
      name: inert(["frontier", ...named.filter(Boolean)].join(" · ")), showlegend: fronts.length === 1 || !own,
      x: front.map(p => figure(p, state.x)), y: front.map(p => figure(p, state.y)),
      line: {
        shape: rising ? "vh" : "hv", width: 2, dash: DASHES[workloads.indexOf(workload) % DASHES.length],
        color: own ? colourOf(front[0]) : css("--ink"),
      },
      meta: at,
    };
  });
}

/** Return the intervals of the frontier's points, as bars; an end without limit is left out. */
function barTraces(fronts) {
  const bars = (front, name) => {
    const arm = length => (Number.isFinite(length) ? Math.max(length, 0) : 0); // for Infinity plotly draws neither
    return {
      type: "data", symmetric: false, thickness: 1, width: 3, color: css("--muted"),
      array: front.map(p => (interval(p, name)[1] === null ? 0 : arm(interval(p, name)[1] - figure(p, name)))),
      arrayminus: front.map(p => (interval(p, name)[0] === null ? 0 : arm(figure(p, name) - interval(p, name)[0]))),
    };
  };
  return fronts.map(front => ({
    type: "scatter", mode: "markers", marker: { size: 0.1, color: css("--muted") }, hoverinfo: "skip", showlegend: false,
    x: front.map(p => figure(p, state.x)), y: front.map(p => figure(p, state.y)),
    error_x: bars(front, state.x), error_y: bars(front, state.y),
  }));
}

const hasEnd = (point, name) => interval(point, name)[1] !== Infinity;

/** Return a short arrow from each frontier point whose interval has no upper end. */
function endlessTrace(fronts) {
  const [right, up] = [-90, 180]; // `standoff` moves a mark down, turned by its angle
  const marks = [[state.x, right], [state.y, up]].flatMap(([name, angle]) =>
    fronts.flat().filter(p => !hasEnd(p, name)).flatMap(point => [
      { point, angle, symbol: "line-ns", standoff: 13, size: 12 }, { point, angle, symbol: "triangle-down", standoff: 23, size: 7 },
    ]));
  const every = name => marks.map(mark => mark[name]);
  return {
    type: "scatter", mode: "markers", name: "no upper end", hoverinfo: "skip", showlegend: false,
    x: marks.map(({ point }) => figure(point, state.x)), y: marks.map(({ point }) => figure(point, state.y)),
    marker: { symbol: every("symbol"), angle: every("angle"), standoff: every("standoff"), size: every("size"), color: css("--muted"), opacity: 1, line: { width: 1, color: css("--muted") } },
  };
}

/** Return the batch size of each frontier point, left out where another's is too close. */
function batchLabels(fronts, axes) {
  const place = p => [state.x, state.y].map((name, at) => {
    const { isLog, range } = axes[at];
    const value = isLog ? Math.log10(figure(p, name)) : figure(p, name);
    return (value - range[0]) / (range[1] - range[0]);
  });
  const said = starred().map(star => place(star.point));
  const kept = fronts.flat().filter(p => {
    const [x, y] = place(p);
    if (said.some(([a, b]) => Math.abs(a - x) < (isNarrow() ? 0.12 : 0.05) && Math.abs(b - y) < 0.05)) return false;
    said.push([x, y]);
    return true;
  });
  return {
    type: "scatter", mode: "markers+text", hoverinfo: "skip", showlegend: false, cliponaxis: false, marker: { size: 11, opacity: 0 },
    x: kept.map(p => figure(p, state.x)), y: kept.map(p => figure(p, state.y)),
    text: kept.map(p => inert(setting(p, "batch"))), textposition: "bottom right",
    textfont: { size: 12, color: css("--ink"), weight: 700 },
  };
}

function legendEntry(name, symbol, color) {
  const marker = { symbol, color, size: 9, line: { width: symbol.endsWith("-open") ? 1.5 : 0, color } };
  return { type: "scatter", mode: "markers", name: inert(name), x: [null], y: [null], hoverinfo: "skip", marker };
}

/** Return what the legend says beside colours: the shape of each kind of load, and hollow marks. */
function legendTraces(shown) {
  const entry = (name, symbol) => legendEntry(name, symbol, css("--muted"));
  const kinds = new Map(shown.filter(drawable).map(p => [setting(p, "kind"), text(runOf(p).symbol, p.i)]));
  const loads = several() || kinds.size < 2 ? [] : [...kinds].map(([name, symbol]) => entry(name, symbol));
  const hollow = shown.some(p => !isValid(p) && drawable(p));
  return [...loads, ...(hollow ? [entry("not valid (hollow)", "circle-open")] : [])];
}

/** Return what the operating points choose now, each point once with the names of its goals. */
function starred() {
  const stars = new Map();
  for (const goal of state.goals)
    for (const { best } of goal.isFree && !goal.isMoved ? [] : goal.answers)
      if (best && drawable(best)) stars.set(best, [...(stars.get(best) ?? []), goal.name]);
  return [...stars.entries()].map(([point, names]) => ({ point, names: [...new Set(names)] }));
}

function starTrace() {
  const stars = starred();
  return {
    type: "scatter", mode: "markers", name: "operating point", hovertemplate: "%{text}<extra></extra>",
    x: stars.map(s => figure(s.point, state.x)), y: stars.map(s => figure(s.point, state.y)),
    customdata: stars.map(s => s.point.id), text: stars.map(s => hoverOf(s.point)),
    marker: { symbol: "star", size: 19, color: stars.map(s => colourOf(s.point)), line: { width: 1.4, color: css("--ink") } },
  };
}

function selectedTrace() {
  const chosen = state.selected && drawable(state.selected) ? [state.selected] : [];
  return {
    type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false,
    x: chosen.map(p => figure(p, state.x)), y: chosen.map(p => figure(p, state.y)),
    marker: { symbol: "circle-open", size: 25, color: css("--accent"), line: { width: 3 } },
  };
}

/** Return the lines of the limits on a chosen axis. */
function limitShapes() {
  return state.goals.filter(goal => goal.isMoved || !goal.isFree).flatMap(goal => {
    const at = goal.subject_to[goal.slides];
    const line = { type: "line", line: { color: css("--danger"), width: 1.4, dash: "dash" }, layer: "below" };
    if (goal.slides === state.y) return [{ ...line, xref: "paper", x0: 0, x1: 1, y0: at, y1: at }];
    if (goal.slides === state.x) return [{ ...line, yref: "paper", y0: 0, y1: 1, x0: at, x1: at }];
    return [];
  });
}

function annotations() {
  const place = (name, value) => (plotAxes[name === state.x ? 0 : 1].isLog ? Math.log10(value) : value);
  const halo = { bgcolor: css("--halo"), borderpad: 2, font: { size: 12, color: css("--ink") } };
  const stars = starred().map(({ point, names }, at) => ({
    ...halo, x: place(state.x, figure(point, state.x)), y: place(state.y, figure(point, state.y)),
    text: `<b>${inert(`${names.join(", ").slice(0, 40)}: batch ${setting(point, "batch")}`)}</b>`, ax: -34, ay: -30 - 5 * (at % 3) - (hasEnd(point, state.y) ? 0 : 8), arrowhead: 0, arrowwidth: 1, arrowcolor: css("--muted"),
  }));
  const limits = state.goals.filter(g => (g.isMoved || !g.isFree) && g.slides === state.y).map(goal => ({
    ...halo, xref: "paper", x: 1, xanchor: "right", yanchor: "bottom", showarrow: false,
    y: place(state.y, goal.subject_to[goal.slides]), font: { size: 11, color: css("--danger") },
    text: inert(`${goal.name.slice(0, 30)} ≤ ${withUnit(goal.slides, goal.subject_to[goal.slides])}`),
  }));
  return [...limits, ...stars];
}

function drawPlot() {
  const shown = shownPoints();
  const fronts = frontiers(shown);
  const valid = shown.filter(p => isValid(p) && drawable(p));
  const limitsOn = name => state.goals.filter(g => !g.isFree && g.slides === name).map(g => g.subject_to[name]);
  const axes = [state.x, state.y].map(name => axisOf(name, valid.map(p => figure(p, name)), limitsOn(name)));
  plotAxes = axes;
  const traces = [
    starTrace(), selectedTrace(), ...frontTraces(fronts), ...barTraces(fronts), endlessTrace(fronts), ...pointTraces(shown), batchLabels(fronts, axes), ...legendTraces(shown),
  ];
  // the stars stand over all else, and keep their place in the list for quick updates
  traces[0].zorder = 3;
  traces[1].zorder = 2;
  const layout = {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { family: css("--font"), color: css("--ink"), size: 12 },
    margin: { l: 62, r: 16, t: 10, b: 52 }, hovermode: "closest", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    hoverlabel: { align: "left", bgcolor: css("--panel"), bordercolor: css("--muted"), font: { color: css("--ink"), size: 12.5 } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "trace", font: { size: 11.5 } },
    xaxis: axisLayout(state.x, true, axes[0]), yaxis: axisLayout(state.y, false, axes[1]),
    shapes: limitShapes(), annotations: annotations(), uirevision: `${state.x} ${state.y} ${state.everything}`,
  };
  Plotly.react("plot", traces, layout, { displayModeBar: false, responsive: true });
  say(shown, fronts, axes);
}

let isDue = false;

/** Move the stars and the limits alone, at most once a frame: a slider must feel quick. */
function drawStars() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    moveStars();
  });
}

function moveStars() {
  const star = starTrace(), ring = selectedTrace();
  const both = (name, of = t => t[name]) => [of(star), of(ring)];
  Plotly.update("plot", { x: both("x"), y: both("y"), customdata: [star.customdata, []], text: [star.text, ""], "marker.color": [star.marker.color, ring.marker.color] },
    { shapes: limitShapes(), annotations: annotations() }, [0, 1]);
}

/** Say how much is shown, and what the picture cannot show. */
function say(shown, fronts, axes) {
  const numValid = shown.filter(isValid).length;
  const goalless = [state.x, state.y].filter(name => !goalMetric(name)).map(name => doc.metrics[name].label);
  const on = fronts.flat().length;
  byId("shown").textContent = `${number(shown.length)} of ${plural(points.length, "configuration")} shown, ${number(numValid)} valid; `
    + (goalless.length ? `no frontier: ${goalless.join(" and ")} describes a trial and is no goal.` : `${number(on)} on the frontier of these.`);
  const inside = p => [state.x, state.y].every((name, at) => {
    const value = axes[at].isLog ? Math.log10(figure(p, name)) : figure(p, name);
    return value >= axes[at].range[0] && value <= axes[at].range[1];
  });
  const endless = fronts.flat().some(p => [state.x, state.y].some(name => !hasEnd(p, name)));
  const nowhere = shown.filter(p => !drawable(p)).length;
  const outside = state.everything ? 0 : shown.filter(p => drawable(p) && !inside(p)).length;
  byId("off-scale").replaceChildren(
    `Numbers beside points: max batch size. Bars: 95% intervals${endless ? ", an arrow where one has no upper end" : ""}. `,
    ...(nowhere ? [`${number(nowhere)} without both figures, or without end: not drawn. `] : []),
    ...(outside || state.everything ? [outside ? `${number(outside)} off scale. ` : "",
      make("button", { type: "button", onclick: () => { state.everything = !state.everything; drawPlot(); } },
        state.everything ? "Fit to the valid" : "Show all")] : []));
}
