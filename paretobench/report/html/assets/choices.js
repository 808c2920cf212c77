// The two rules of the report, as analysis/frontier.py and analysis/operating_points.py have them.

/**
 * Return the places of the non-dominated points by rising x; of equal points, the first.
 * `betterX` and `betterY` are "higher" or "lower". What is not finite never stands.
 */
function nonDominated(xs, ys, betterX, betterY) {
  const gain = i => (betterX === "higher" ? xs[i] : -xs[i]);
  const cost = i => (betterY === "lower" ? ys[i] : -ys[i]);
  const usable = [...xs.keys()].filter(i => Number.isFinite(xs[i]) && Number.isFinite(ys[i]));
  usable.sort((a, b) => gain(b) - gain(a) || cost(a) - cost(b) || a - b);
  let lowest = Infinity;
  const front = usable.filter(i => cost(i) < lowest && ((lowest = cost(i)), true));
  return front.sort((a, b) => xs[a] - xs[b]);
}

/** Return the distance to a limit as a share of it, negative where it is missed. */
function room(name, limit, value) {
  const left = doc.metrics[name]?.better === "higher" ? value - limit : limit - value;
  return limit ? left / limit : left;
}

/**
 * Return {best, numFeasible, numCandidates, nearest} for a goal among the points given. `best` is
 * null where none meets every constraint; `nearest` then has, by constraint, the nearest value that
 * can be met while the others are kept, or alone where that is nowhere so.
 */
function choose(goal, rivals, latency) {
  const limits = Object.entries(goal.subject_to);
  const needed = [goal.objective, ...Object.keys(goal.subject_to)];
  const candidates = rivals.filter(p => isValid(p) && needed.every(n => figure(p, n) !== null));
  const keeps = (p, of) => of.every(([name, limit]) => room(name, limit, figure(p, name)) >= 0);
  const order = p => (goal.maximize ? -1 : 1) * figure(p, goal.objective);
  const other = p => figure(p, latency) ?? Infinity;
  const compare = (a, b) => (a === b ? 0 : a < b ? -1 : 1); // ∞ − ∞ is no number
  const feasible = candidates
    .filter(p => keeps(p, limits))
    .sort((a, b) => compare(order(a), order(b)) || compare(other(a), other(b)));
  const found = { numFeasible: feasible.length, numCandidates: candidates.length, nearest: [] };
  if (feasible.length) return { ...found, best: feasible[0] };
  const nearestOf = (of, [name, limit]) => {
    if (!of.length) return [];
    const rooms = of.map(p => room(name, limit, figure(p, name)));
    const most = rooms.reduce((a, b) => Math.max(a, b));
    return [{ name, limit, value: figure(of[rooms.indexOf(most)], name) }];
  };
  found.nearest = limits.flatMap(one =>
    nearestOf(candidates.filter(p => keeps(p, limits.filter(l => l !== one))), one));
  found.together = found.nearest.length > 0;
  if (!found.together) found.nearest = limits.flatMap(one => nearestOf(candidates, one));
  return { ...found, best: null };
}
