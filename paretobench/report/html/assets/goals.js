// Where to run: a limit to move for each operating point, and what it chooses.
const STEPS = 400;

/** Collect the goals of every run, each once, and a free one; those with no latency limit stay. */
function collectGoals() {
  const found = new Map();
  doc.runs.forEach(run => run.goals.forEach(goal => {
    const key = JSON.stringify(goal);
    if (!found.has(key)) found.set(key, { ...goal, subject_to: { ...goal.subject_to }, runs: new Set() });
    found.get(key).runs.add(run);
  }));
  const isLatency = name => doc.metrics[name]?.unit === "ms";
  state.goals = [...found.values()].map(goal => ({ ...goal, name: [goal.name, ...(goal.runs.size < doc.runs.length ? [...goal.runs].map(run => run.name) : [])].join(" · "), slides: Object.keys(goal.subject_to).find(isLatency) ?? null }));
  const { throughput, latency } = doc.runs[0];
  if (isLatency(latency) && goalMetric(throughput)) {
    const free = { name: "any limit", objective: throughput, maximize: goalMetric(throughput) === "higher", subject_to: {}, slides: latency, isFree: true, runs: new Set(doc.runs) };
    const values = candidatesOf(free).map(p => figure(p, latency)).sort((a, b) => a - b);
    if (values.length) state.goals.push({ ...free, subject_to: { [latency]: values[values.length >> 1] } });
  }
  for (const goal of state.goals) goal.wanted = goal.subject_to[goal.slides];
  state.goals.forEach(answer);
}

/** Put every limit back to the scenario's own. */
function putLimitsBack() {
  for (const goal of state.goals.filter(g => g.slides)) {
    goal.subject_to[goal.slides] = goal.wanted;
    goal.isMoved = false;
  }
  drawGoals();
}

const candidatesOf = goal => points.filter(p => goal.runs.has(runOf(p)) && isValid(p) && goal.slides && Number.isFinite(figure(p, goal.slides)) && figure(p, goal.slides) !== null);

/** Choose again for a goal: in each of its runs, and for each workload where there are several. */
function answer(goal) {
  const shown = shownPoints();
  goal.answers = doc.runs.flatMap((run, at) => {
    if (!goal.runs.has(run)) return [];
    const own = points.filter(p => p.run === at);
    const workloads = [...new Set(own.map(p => setting(p, "workload")))];
    return workloads.map(workload => ({
      name: [several() ? run.name : "", workloads.length > 1 ? workload : ""].filter(Boolean).join(" · "),
      ...choose(goal, shown.filter(p => p.run === at && setting(p, "workload") === workload), run.latency),
    }));
  });
}

const sign = name => (doc.metrics[name]?.better === "higher" ? "≥" : "≤");
const shortOf = name => doc.metrics[name]?.short ?? name;

function answerText(goal, found) {
  const prefix = found.name ? `${found.name}: ` : "";
  if (found.best) {
    const names = [...new Set([goal.objective, ...Object.keys(goal.subject_to), runOf(found.best).latency])];
    return `${prefix}${runOf(found.best).label[found.best.i]} → ${names.map(n => `${shortOf(n)} ${withUnit(n, figure(found.best, n))}`).join(", ")}`;
  }
  if (!found.numCandidates) return `${prefix}no valid configuration shown has these figures.`;
  const nearest = found.nearest.map(n => `${shortOf(n.name)} ${withUnit(n.name, n.value)}`).join(", ");
  return found.together ? `${prefix}none meets it; the nearest that can be met is ${nearest}.`
    : `${prefix}none meets it: no two limits can be met together; nearest of each alone: ${nearest}.`;
}

function drawGoals() {
  byId("goals").replaceChildren(...state.goals.map(goalCard));
  state.goals.forEach(drawAnswer);
}

function goalCard(goal, at) {
  const verb = goal.maximize ? "Highest" : "Lowest";
  const others = Object.entries(goal.subject_to).filter(([name]) => name !== goal.slides)
    .map(([name, limit]) => `${shortOf(name)} ${sign(name)} ${withUnit(name, limit)}`);
  const what = `${verb} ${doc.metrics[goal.objective]?.label ?? goal.objective}${others.length ? ` with ${others.join(", ")}` : ""}`;
  const card = make("div", { class: "card" }, make("h3", {}, goal.name), make("p", {}, what));
  const said = make("div", { class: "answer", role: "status", id: `answer-${at}` });
  if (goal.slides) {
    const [low, high] = reach(goal);
    const label = `${goal.name}: limit on ${doc.metrics[goal.slides]?.label ?? goal.slides} in ms`;
    const slider = make("input", { type: "range", min: 0, max: STEPS, id: `slider-${at}`, "aria-label": label });
    const exact = make("input", { type: "number", min: 0, step: "any", id: `limit-${at}`, "aria-label": label });
    const move = (limit, from) => {
      if (!(limit > 0)) return;
      goal.subject_to[goal.slides] = limit;
      goal.isMoved = true;
      show(from);
      answer(goal);
      drawAnswer(goal, at);
      drawStars();
    };
    const show = from => {
      const limit = goal.subject_to[goal.slides];
      if (from !== slider) slider.value = Math.round((STEPS * Math.log(limit / low)) / Math.log(high / low));
      if (from !== exact) exact.value = significant(limit, 4);
      slider.setAttribute("aria-valuetext", `${shortOf(goal.slides)} ${sign(goal.slides)} ${withUnit(goal.slides, limit)}`);
    };
    slider.addEventListener("input", () => move(significant(low * (high / low) ** (slider.value / STEPS), 4), slider));
    exact.addEventListener("input", () => move(exact.valueAsNumber, exact));
    show(null);
    const again = make("button", { type: "button", onclick: () => move(goal.wanted, null) }, "Reset");
    card.append(make("div", { class: "limit" }, make("span", {}, `${shortOf(goal.slides)} ${sign(goal.slides)}`), exact, make("span", {}, "ms"), again), slider);
  } else card.append(make("p", { class: "note" }, "It has no latency limit to move."));
  card.append(said);
  return card;
}

/** Return what a slider spans: every latency measured, and the limit itself. */
function reach(goal) {
  const values = [...candidatesOf(goal).map(p => figure(p, goal.slides)), goal.subject_to[goal.slides]].filter(v => v > 0);
  return [Math.min(...values) * 0.8, Math.max(...values) * 1.25];
}

function drawAnswer(goal, at) {
  byId(`answer-${at}`).replaceChildren(...goal.answers.map(found => {
    const said = answerText(goal, found);
    if (!found.best) return make("p", { class: "missed" }, said);
    return make("p", {}, make("button", { type: "button", class: "link", onclick: () => select(found.best, { follow: true }) }, `★ ${said}`));
  }));
}
