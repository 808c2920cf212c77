// The controls, and what follows when one is moved.
function axisSelect(which, label) {
  const select = make("select", { id: `axis-${which}`, onchange: () => { state[which] = select.value; state.ofClass = ""; refresh(); } });
  const groups = new Map();
  for (const [name, metric] of Object.entries(doc.metrics)) {
    const group = metric.class ?? "";
    if (!groups.has(group)) groups.set(group, make("optgroup", { label: group ? `class ${group}` : "all requests" }));
    groups.get(group).append(make("option", { value: name }, metric.label + (metric.axis ? ` (${metric.axis})` : "")));
  }
  select.append(...(groups.size > 1 ? groups.values() : [...groups.values()].flatMap(g => [...g.children])));
  return make("label", {}, label, select);
}

function classSelect() {
  const classes = [...new Set(doc.runs.flatMap(run => run.classes))];
  if (!classes.length) return null;
  const select = make("select", { id: "class", onchange: () => ofClass(select.value) });
  select.append(make("option", { value: "" }, "as the axes say"), make("option", { value: "all" }, "all requests"),
    ...classes.map(name => make("option", { value: `=${name}` }, name)));
  return make("label", {}, "Class", select);
}

/** Turn both axes to one class's figures, or to those of all requests. */
function ofClass(value) {
  const name = value.startsWith("=") ? value.slice(1) : "";
  state.ofClass = name || value;
  if (value) for (const which of ["x", "y"]) {
    const { base } = doc.metrics[state[which]];
    const wanted = name ? `${name}.${base}` : base;
    if (wanted in doc.metrics) state[which] = wanted;
  }
  refresh();
}

function drawControls() {
  const swap = make("button", { type: "button", onclick: () => { [state.x, state.y] = [state.y, state.x]; refresh(); } }, "⇄ Swap");
  const first = make("button", { type: "button", onclick: () => { state.x = doc.runs[0].throughput; state.y = doc.runs[0].latency; state.ofClass = ""; state.everything = false; Object.values(state.picked).forEach(p => p.clear()); drawFilters(); putLimitsBack(); refresh(); } }, "Start over");
  byId("axes").replaceChildren(...[axisSelect("x", "Across"), axisSelect("y", "Up"), classSelect(), swap, first].filter(Boolean));
  drawFilters();
}

/** Draw a row of switches for each setting with several values; none pressed shows all. */
function drawFilters() {
  const rows = FILTERS.map(([name, title]) => {
    const values = valuesOf(name);
    if (values.length < 2 || (name === "batching" && values.length > 24)) return null;
    state.picked[name] ??= new Set();
    const picked = state.picked[name];
    const chips = values.map(value => make("button", {
      type: "button", class: "chip", "aria-pressed": String(picked.has(value)), "data-filter": name,
      onclick: event => {
        if (!picked.delete(value)) picked.add(value);
        event.currentTarget.setAttribute("aria-pressed", String(picked.has(value)));
        refresh();
      },
    }, value));
    return make("fieldset", {}, make("legend", {}, title), ...chips);
  });
  byId("filters").replaceChildren(...rows.filter(Boolean));
}

function refresh() {
  for (const which of ["x", "y"]) byId(`axis-${which}`).value = state[which];
  if (byId("class")) byId("class").value = state.ofClass && state.ofClass !== "all" ? `=${state.ofClass}` : state.ofClass;
  byId("frontier").textContent = `${capital(doc.metrics[state.x].label)} against ${doc.metrics[state.y].label}`;
  state.goals.forEach((goal, at) => { answer(goal); drawAnswer(goal, at); });
  drawPlot();
  drawTables();
  drawDetails();
}

const capital = said => said.charAt(0).toUpperCase() + said.slice(1);

/** Let the arrow keys walk over the points from left to right. */
function walk(event) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const order = shownPoints().filter(drawable).sort((a, b) => figure(a, state.x) - figure(b, state.x) || figure(a, state.y) - figure(b, state.y));
  const at = order.indexOf(state.selected);
  if (order.length) select(order[at < 0 ? (step > 0 ? 0 : order.length - 1) : Math.min(Math.max(at + step, 0), order.length - 1)]);
}

function redrawInTheme() {
  drawPlot();
  drawDetails();
}

async function start() {
  await readDocument();
  collectGoals();
  drawControls();
  drawGoals();
  state.selected = starred()[0]?.point ?? frontiers(shownPoints()).flat()[0] ?? null;
  refresh();
  byId("plot").on("plotly_click", event => {
    const at = event.points[0]?.customdata;
    if (at !== undefined) select(points[at], { follow: isNarrow() });
  });
  byId("plot").addEventListener("keydown", walk);
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    redrawInTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawInTheme);
  document.documentElement.dataset.ready = "yes";
  // the rules that a test holds against the report's own
  window.paretobench = { number, withUnit, nonDominated, choose, points, state, frontiers, shownPoints, document: doc };
}

start().catch(error => {
  byId("broken").textContent = error.message;
  byId("broken").hidden = false;
});
