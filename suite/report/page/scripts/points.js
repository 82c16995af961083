// A figure's data as rows: one a point, under the names of the axes.

// What only decorates answers to no hovering, and is left out.
function figureRows({ data, layout }) {
  const traces = data.filter((trace) => trace.hoverinfo !== "skip" && holdsPoints(trace));
  const rows = traces.some((trace) => trace.type === "heatmap") ? cellRows(traces, layout) : pointRows(traces, layout);
  return rows.map((row) => row.map(unescaped));
}

function cellRows(traces, layout) {
  const plain = outOfLog2(layout, "z");
  const cells = traces.flatMap((trace) =>
    trace.z.flatMap((line, row) =>
      line.map((value, column) => [trace.y[row], trace.x[column], plain(value), trace.hovertext?.[row]?.[column]]),
    ),
  );
  const header = [
    word("page.row"),
    titleOf(layout.xaxis) ?? word("page.column"),
    word("page.value"),
    word("page.text"),
  ];
  return [header, ...cells.filter(([, , value]) => value !== null)];
}

function pointRows(traces, layout) {
  const plain = outOfLog2(layout, "x");
  const hasBars = traces.some((trace) => trace.error_x || trace.error_y);
  const rowOf = (trace, index) => {
    const [low, high] = [...barEnds(trace, index, "x").map(plain), ...barEnds(trace, index, "y")];
    const text = (trace.hovertext ?? trace.text)?.[index];
    return [trace.name, plain(trace.x[index]), trace.y[index], ...(hasBars ? [low, high] : []), text];
  };
  const known = (trace) => [...trace.x.keys()].filter((index) => trace.x[index] !== null && trace.y[index] !== null);
  const axes = [titleOf(layout.xaxis) ?? "x", titleOf(layout.yaxis) ?? "y"];
  const header = [
    word("page.series"),
    ...axes,
    ...(hasBars ? [word("page.low"), word("page.high")] : []),
    word("page.text"),
  ];
  return [header, ...traces.flatMap((trace) => known(trace).map((index) => rowOf(trace, index)))];
}

// Ratios are drawn by their logarithm, so that twice and half stand equally far from one; a file holds the ratio.
function outOfLog2(layout, letter) {
  const isLog2 = layout.meta?.log2 === letter;
  return (value) => (isLog2 && value !== null ? Number((2 ** value).toPrecision(4)) : value);
}

function titleOf(axis) {
  return axis?.title?.text;
}

// Text in figures is written as charts.py does it; of its signs only & has an entity.
function unescaped(text) {
  return typeof text === "string" ? text.replaceAll("&amp;", "&") : text;
}
