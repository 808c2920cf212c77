// Tables that sort by a click or a key; Enter on a row chooses its point.
const FIRST_ROWS = 100;

/**
 * Fill `place` with a table. A column has a title, the text of a row, what to sort it by, and
 * whether it is text. Missing values sort last either way.
 */
function sortable(place, caption, columns, rows, pointOf) {
  const sorted = place.sorted ?? { title: null, descending: false };
  place.sorted = sorted;
  const byColumn = columns.find(c => c.title === sorted.title);
  const ordered = byColumn ? inOrder(rows, byColumn.key, sorted.descending) : rows;
  const limit = place.showsAll ? ordered.length : FIRST_ROWS;
  const draw = () => sortable(place, caption, columns, rows, pointOf);
  const head = make("tr", {}, ...columns.map(column => {
    const order = column === byColumn ? (sorted.descending ? "descending" : "ascending") : "none";
    const arrow = { none: "", ascending: " ▲", descending: " ▼" }[order];
    const turn = () => {
      sorted.descending = column === byColumn ? !sorted.descending : false;
      sorted.title = column.title;
      draw();
      [...place.querySelectorAll("th button")].find(b => b.dataset.title === column.title).focus();
    };
    return make("th", { scope: "col", "aria-sort": order, class: column.isText ? "text" : null },
      make("button", { type: "button", "data-title": column.title, onclick: turn }, `${column.title}${arrow}`));
  }));
  const body = make("tbody", {}, ...ordered.slice(0, limit).map((row, at) => tableRow(columns, row, pointOf(row), at === 0)));
  const more = ordered.length > limit
    ? make("button", { type: "button", onclick: () => { place.showsAll = true; draw(); } }, `Show all ${number(ordered.length)}`) : null;
  const box = make("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
    make("table", {}, make("caption", {}, caption), make("thead", {}, head), body));
  place.replaceChildren(box, ...(more ? [more] : []));
}

function inOrder(rows, key, descending) {
  const isMissing = value => value === null || value === undefined || Number.isNaN(value);
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a < b ? -1 : a > b ? 1 : 0);
  return [...rows].sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return descending ? compare(b, a) : compare(a, b);
  });
}

function tableRow(columns, row, point, isFirst) {
  const cells = columns.map(column => make("td", { class: column.isText ? "text" : null }, column.text(row)));
  if (!point) return make("tr", {}, ...cells);
  const step = (element, sibling) => {
    const next = element[sibling];
    if (next?.dataset.point === undefined) return;
    element.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
  return make("tr", {
    "data-point": point.id, tabindex: isFirst ? 0 : -1,
    class: [isValid(point) ? "" : "invalid", point === state.selected ? "selected" : ""].join(" ").trim() || null,
    onclick: () => select(point),
    onkeydown: event => {
      const row = event.currentTarget;
      if (event.key === "Enter" || event.key === " ") select(point, { follow: event.key === "Enter" });
      else if (event.key === "ArrowDown") step(row, "nextElementSibling");
      else if (event.key === "ArrowUp") step(row, "previousElementSibling");
      else return;
      event.preventDefault();
    },
  }, ...cells);
}

/** Return the columns of settings that tell the configurations apart. */
function settingColumns() {
  const numeric = { batch: "batch_size", wait: "wait_ms" };
  const shown = FILTERS.filter(([name]) => valuesOf(name).length > 1 || (name === "batch" && valuesOf("batching").length < 2));
  return shown.map(([name, title]) => ({
    title, isText: !(name in numeric), text: p => setting(p, name) || MISSING,
    key: name in numeric ? p => runOf(p)[numeric[name]][p.i] : p => setting(p, name),
  }));
}

function figureColumn(name) {
  return { title: doc.metrics[name].title, text: p => ([state.x, state.y].includes(name) ? marked(p, name) : bare(p, name)), key: p => figure(p, name) };
}

/** Return a figure as `marked` does, without its interval. */
const bare = (p, name) => marked(p, name).replace(/ \(.*/, "");

function figureColumns() {
  const own = doc.runs.flatMap(run => run.columns).map(name => {
    const { base } = doc.metrics[name] ?? {};
    const ofClass = state.ofClass && state.ofClass !== "all" ? `${state.ofClass}.${base}` : base;
    return state.ofClass && ofClass in doc.metrics ? ofClass : name;
  });
  return [...new Set([state.x, state.y, ...own])].filter(name => name in doc.metrics).map(figureColumn);
}

function drawTables() {
  const shown = shownPoints();
  const verdict = { title: "verdict", isText: true, text: p => text(runOf(p).verdict, p.i), key: p => text(runOf(p).verdict, p.i) };
  const settings = settingColumns(), figures = figureColumns();
  const front = frontiers(shown).flat();
  const axes = `${doc.metrics[state.x].label} against ${doc.metrics[state.y].label}`;
  sortable(byId("front"), front.length ? `The frontier of ${axes}` : `No frontier of ${axes}`, [...settings, ...figures], front, p => p);
  sortable(byId("all"), "Every configuration shown, one row each", [...settings, verdict, ...figures], shown, p => p);
  const rows = doc.runs.flatMap((run, at) => run.chosen.map(chosen => ({ ...chosen, run: run.name, at })));
  const said = (title, name, key, isText = true) => ({ title, isText, text: row => row[name], key: row => row[key ?? name] });
  sortable(byId("points"), rows.length ? "Chosen at the scenario's own limits, as report.md has them" : "The scenario names no operating points", [
    ...(several() ? [said("run", "run")] : []), said("for", "goal"), said("deploy", "deploy"), said("expect", "expect", "value", false),
    said("against its limit (room)", "margins", "room"), said("shown", "shown"), said("why", "why"),
  ], rows, row => (row.place === null ? null : points.find(p => p.run === row.at && p.i === row.place)));
}
