// A figure's data, without drawing it: what the filters leave of it, and its points as rows.

// A trace says what it shows in its `meta`: a text for all of it, or a list with a text for each point. Such texts are
// written as figures write them, so they are compared with what the choice is called in figures.
function filteredFigure(figure, chosen) {
  const names = Object.keys(chosen);
  const told = figure.data.filter((trace) => holdsPoints(trace) && names.some((name) => name in (trace.meta ?? {})));
  const data = figure.data.map((trace) => filteredTrace(trace, chosen)).filter(Boolean);
  const isEmpty = told.length > 0 && !data.some((trace) => trace.meta && holdsPoints(trace));
  const cut = data.some((trace) => trace.kept);
  return { data, layout: cut ? withoutStrayTexts(figure.layout, data) : figure.layout, isEmpty };
}

function filteredTrace(trace, chosen) {
  let kept = null;
  for (const [name, choice] of Object.entries(chosen)) {
    const said = trace.meta?.[name];
    if (typeof said === "string" && said !== choice.figure) return null;
    if (Array.isArray(said)) kept = (kept ?? [...said.keys()]).filter((index) => said[index] === choice.figure);
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

// A text beside a row goes with the row's points.
function withoutStrayTexts(layout, data) {
  const heights = new Set(data.filter(holdsPoints).flatMap((trace) => (trace.meta ? trace.y : [])));
  return layout.annotations
    ? { ...layout, annotations: layout.annotations.filter((text) => heights.has(text.y)) }
    : layout;
}

// An entry of the legend alone has a single point that is nowhere.
function holdsPoints(trace) {
  return trace.type === "heatmap" || (trace.y ?? []).some((value, index) => value !== null && trace.x[index] !== null);
}

// One row a point, under the names of the axes. What only decorates answers to no hovering, and is left out.
function figureRows({ data, layout }) {
  const traces = data.filter((trace) => trace.hoverinfo !== "skip" && holdsPoints(trace));
  const shown = (text) => (typeof text === "string" ? text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&") : text);
  const axis = (name, otherwise) => shown(layout[name]?.title?.text) || otherwise;
  if (traces.some((trace) => trace.type === "heatmap")) {
    const cells = traces.flatMap((trace) =>
      trace.z.flatMap((line, row) =>
        line.map((value, column) => [trace.y[row], trace.x[column], value, trace.hovertext?.[row]?.[column]]),
      ),
    );
    return [
      [WORDS.row, axis("xaxis", WORDS.column), WORDS.value, WORDS.text],
      ...cells.filter(([, , value]) => value !== null).map((cells) => cells.map(shown)),
    ];
  }
  const hasBars = traces.some((trace) => trace.error_x || trace.error_y);
  const point = (trace, index) => {
    const bars = trace.error_y ?? trace.error_x;
    const middle = trace.error_y ? trace.y[index] : trace.x[index];
    const ends = bars ? [middle - bars.arrayminus[index], middle + bars.array[index]] : [null, null];
    const text = (trace.hovertext ?? trace.text)?.[index];
    return [trace.name, trace.x[index], trace.y[index], ...(hasBars ? ends : []), text].map(shown);
  };
  return [
    [WORDS.series, axis("xaxis", "x"), axis("yaxis", "y"), ...(hasBars ? [WORDS.low, WORDS.high] : []), WORDS.text],
    ...traces.flatMap((trace) =>
      [...trace.x.keys()].filter((index) => trace.x[index] !== null && trace.y[index] !== null).map((index) => point(trace, index)),
    ),
  ];
}
