// What a choice leaves of a figure's data, without drawing it.

// A trace says what it shows in its `meta`: a text for all of it, or a list with a text for each point.
function filteredFigure(figure, chosen) {
  const names = Object.keys(chosen);
  const told = figure.data.filter((trace) => holdsPoints(trace) && names.some((name) => name in (trace.meta ?? {})));
  const data = figure.data.map((trace) => filteredTrace(trace, chosen)).filter(Boolean);
  const isEmpty = told.length > 0 && !data.some((trace) => trace.meta && holdsPoints(trace));
  const isWhole = data.length === figure.data.length && !data.some((trace) => trace.kept);
  return { data, layout: isWhole ? figure.layout : filteredLayout(figure, data), isEmpty };
}

// What is left is drawn where it was, so that it compares with what it was among; ticks were chosen for the whole, too.
// Rows whose points are gone go with their names, if points were told apart.
function filteredLayout(figure, data) {
  const layout = { ...figure.layout };
  for (const letter of ["x", "y"]) {
    const axis = layout[`${letter}axis`];
    if (axis?.type === "log" && !axis.range) {
      layout[`${letter}axis`] = { ...axis, range: logRange(figure.data, letter) };
    }
  }
  if (!data.some((trace) => trace.kept)) return layout;
  const rows = new Set(data.filter((trace) => trace.kept).flatMap((trace) => trace.y));
  if (layout.annotations) layout.annotations = layout.annotations.filter((text) => rows.has(text.y));
  if (layout.yaxis.categoryarray) {
    layout.yaxis = { ...layout.yaxis, categoryarray: layout.yaxis.categoryarray.filter((name) => rows.has(name)) };
  }
  return layout;
}

function logRange(traces, letter) {
  const ends = traces.flatMap((trace) =>
    trace[letter].flatMap((value, index) => [value, ...barEnds(trace, index, letter)]),
  );
  const logs = ends.filter((value) => value > 0).map(Math.log10);
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const room = 0.05 * (high - low) || 0.5;
  return [low - room, high + room];
}

function filteredTrace(trace, chosen) {
  let kept = null;
  for (const [name, choice] of Object.entries(chosen)) {
    const said = trace.meta?.[name];
    if (typeof said === "string" && said !== choice) return null;
    if (Array.isArray(said)) kept = (kept ?? [...said.keys()]).filter((index) => said[index] === choice);
  }
  if (kept === null) return trace;
  return kept.length ? { ...withPoints(trace, kept, trace.x.length), kept: kept.length } : null;
}

// The same with some of its points only, in whatever lists it has one entry a point.
function withPoints(value, kept, count) {
  if (Array.isArray(value)) return value.length === count ? kept.map((index) => value[index]) : value;
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, withPoints(part, kept, count)]));
}

// The ends of a point's error bar along an axis; none where it has no bar.
function barEnds(trace, index, letter) {
  const bars = trace[`error_${letter}`];
  return bars ? [trace[letter][index] - bars.arrayminus[index], trace[letter][index] + bars.array[index]] : [];
}

// An entry of the legend alone has a single point that is nowhere.
function holdsPoints(trace) {
  return trace.type === "heatmap" || (trace.y ?? []).some((value, index) => value !== null && trace.x[index] !== null);
}

// The runs that a point is made of, by their place in the list; of a trace without points of its own all of its.
function runsOf(trace, index) {
  const every = trace.customdata ?? [];
  return every.length === (trace.x ?? []).length ? (every[index] ?? []) : (every[0] ?? []);
}

function runsOfFigure(figure) {
  return [...new Set(figure.data.flatMap((trace) => trace.customdata ?? []).flat())];
}
