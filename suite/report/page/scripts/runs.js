// Every run: a table that is searched and sorted, and each with its record, its timings and the command that repeats it.
// The settings of a case that have a column of their own; of several names the first that it has.
const CASE_COLUMNS = {
  workload: ["workload"],
  what: ["algorithm", "method", "attention"],
  about: ["task", "geometry", "checkpoint"],
  phase: ["phase"],
  context: ["seq_len"],
};
const RUN_COLUMNS = [
  ...["page.run", "column.workload", "page.about", "column.phase", "page.context", "column.status"],
  ...["span.layer", "column.machine", "page.date", "column.label", "column.settings"],
];
const MOST_SHARED = 0.9;
const KINDS = { "page.context": "number", "span.layer": "number", "column.settings": "case" };

// All runs with their numbers, which stand apart: most views need none.
const numberedRuns = once(async () => {
  const lines = (await block("runs")) ?? [];
  const { names, tables, columns } = await block("numbers");
  const read = names.map(() => 0); // rows of each table
  lines.forEach((line, place) => {
    const table = tables[place];
    const row = read[table]++;
    line.numbers = names[table].map((name, at) => name.concat(columns[table][at][row]));
  });
  return lines;
});

function runsElement(lines, route, dropped) {
  const every = [...dropped.map((run) => run.line), ...lines];
  const cases = every.map(caseOf);
  // What nearly all runs of a workload share tells few of them apart.
  const counts = new Map();
  const keys = cases.map(({ workload, rest }) => ["", ...rest].map((pair) => `${workload} ${pair}`));
  keys.flat().forEach((key) => counts.set(key, (counts.get(key) ?? 0) + 1));
  const rows = every.map((line, place) => {
    const { workload, what, about, phase, context, rest } = cases[place];
    const [all, ...each] = keys[place].map((key) => counts.get(key));
    const settings = rest.filter((_, at) => each[at] < MOST_SHARED * all).join(" ");
    const layer = line.numbers.find(([span, metric]) => span === "layer" && metric === "latency_s")?.[3];
    const time = layer === undefined ? "" : seconds(layer);
    return [
      ...[what, workload, about, worded("phase", phase), counted(context), worded("status", line.status)],
      ...[time, line.machine, line.at.slice(0, 10), line.label, settings],
    ].map((text) => text || "–");
  });
  const columns = RUN_COLUMNS.map((key) => ({ title: word(key), kind: KINDS[key] ?? "text" }));
  const found = (words) => replaceAddress(["trust", "runs"], { ...readAddress().params, find: words });
  const table = tableElement(
    { title: word("page.runs"), columns, rows, searched: every.map(wordsOf) },
    {
      name: ["runs"],
      address: () => location.href,
      cells: (row, column) => (column ? null : linkTo(["trust", "run", every[row].key], rows[row][0])),
      mostShown: Infinity,
      find: { words: route.params.find ?? "", changed: found },
    },
  );
  const note = h("p", { class: "quiet" }, word("page.runs_shared"), " ", dropButton());
  return h("section", { class: "every-run" }, h("h1", {}, word("page.runs")), note, table.element);
}

// A case by its columns; `rest` are all other settings.
function caseOf(line) {
  const pairs = shortCase(line.case).split(" ");
  const names = pairs.map((pair) => pair.slice(0, Math.max(pair.indexOf("="), 0)));
  const found = {};
  const taken = Object.entries(CASE_COLUMNS).map(([column, wanted]) => {
    const place = wanted.map((name) => names.indexOf(name)).find((at) => at >= 0);
    found[column] = place === undefined ? "" : pairs[place].slice(names[place].length + 1);
    return place;
  });
  return { ...found, rest: pairs.filter((_, at) => !taken.includes(at)) };
}

// What a run is called: its settings that have a column.
function runName(line) {
  const { what, about, phase, context } = caseOf(line);
  const tokens = context && word("page.tokens", { count: counted(context) });
  return [what, about, worded("phase", phase), tokens].filter(Boolean).join(" · ") || line.case;
}

function wordsOf({ numbers: _, ...line }) {
  return Object.values(line).join(" ");
}

function counted(text) {
  return /^\d+$/.test(text) ? inUnit(Number(text)) : text;
}

function worded(group, name) {
  return hasWord(`${group}.${name}`) ? word(`${group}.${name}`) : name;
}

// A case without what does not apply to it.
function shortCase(text) {
  return text
    .split(" ")
    .filter((pair) => !pair.endsWith("=null"))
    .join(" ");
}

async function runElement(key, dropped) {
  const lines = await numberedRuns();
  const own = dropped.find((run) => run.line.key === key);
  const place = lines.findLastIndex((line) => line.key === key);
  if (!own && place < 0) return h("section", {}, h("h1", {}, word("page.no_such_run", { key })));
  const { line, record, readings } = own ?? { line: lines[place], ...recordOf(await block("records"), place) };
  const name = fileName(["run", line.key]);
  const hasNumbers = line.numbers.length > 0; // a run that was refused has none
  const text = JSON.stringify(record, null, 1);
  return h(
    "section",
    { class: "run" },
    h("h1", {}, runName(line)),
    h("p", { class: "settings" }, shortCase(line.case)),
    h("p", {}, [worded("status", line.status), line.reason, line.label, line.machine, line.at, line.commit].filter(Boolean).join(" · ")),
    numbersOf(line),
    checkElement(line),
    h("p", {}, word("page.repeat")),
    commandElement(line.command),
    comparedRuns(line, lines, dropped),
    hasNumbers && h("h2", {}, word("page.numbers")),
    hasNumbers && numbersTable(line, name).element,
    readings.length > 0 && h("h2", {}, word("page.readings")),
    readings.map(([span, metric, values]) => readingsElement(span, metric, values, name)),
    readings.length === 0 && hasNumbers && h("p", { class: "quiet" }, word("page.readings_in_folder")),
    h("h2", {}, word("page.record")),
    h(
      "div",
      { class: "tools" },
      quietButton("record.json", () => save(new Blob([text], { type: "application/json" }), "record.json")),
    ),
    h("pre", { class: "record", tabindex: "0" }, text),
  );
}

// A record with its parts in their places again.
function recordOf({ pool, runs }, place) {
  const back = (value) => {
    if (!value || typeof value !== "object" || Array.isArray(value)) return value;
    if (Object.keys(value).length === 1 && "@" in value) return back(pool[value["@"]]);
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, back(part)]));
  };
  return { record: back(runs[place].record), readings: runs[place].readings };
}

// How far its output lay from the reference, beside how far it may.
function checkElement(line) {
  const noted = (span, metric) => line.numbers.find((found) => found[0] === span && found[1] === metric)?.[3];
  const checks = [...new Set(line.numbers.map(([span]) => span))]
    .filter((span) => noted(span, "relative_error") !== undefined && noted(span, "allowed_error") !== undefined)
    .map((span) =>
      word("page.checked", {
        span: spanName(span),
        error: inUnit(noted(span, "relative_error")),
        allowed: inUnit(noted(span, "allowed_error")),
      }),
    );
  return checks.length > 0 && h("p", {}, word("page.check", { checks: checks.join("; ") }));
}

function numbersTable(line, name) {
  const columns = ["span", "metric", "value", "interval", "count"].map((key) => ({
    title: word(`page.number.${key}`),
    kind: ["span", "metric"].includes(key) ? "code" : "number",
  }));
  const written = (value, metric) => (typeof value === "number" ? inUnit(value, FRAME.units[metric]) : value);
  const isTiming = ([, metric]) => metric.endsWith("latency_s");
  const rows = [...line.numbers.filter(isTiming), ...line.numbers.filter((one) => !isTiming(one))].map(
    ([span, metric, count, value, low, high]) => [
      span,
      metric,
      written(value, metric),
      low === undefined ? "–" : rangeInUnit(low, high, FRAME.units[metric]),
      String(count),
    ],
  );
  return tableElement(
    { title: word("page.numbers"), columns, rows },
    { name: [name, "numbers"], address: () => location.href },
  );
}

// All timings in the order in which they were taken, as dots, and as a file.
function readingsElement(span, metric, values, name) {
  const [width, height] = [720, 90];
  // Not Math.min(...values): with 130,000 arguments the stack overflows.
  const [low, high] = [Math.min, Math.max].map((end) => values.reduce((a, b) => end(a, b)));
  const label = `${span} ${metric}`;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const [index, value] of values.slice(0, 500).entries()) {
    const cx = 4 + ((width - 8) * index) / Math.max(values.length - 1, 1);
    picture.append(svg("circle", { cx, cy: height - 6 - ((height - 12) * (value - low)) / (high - low || 1), r: 2.5 }));
  }
  const rows = () => [
    ["span", "metric", "place", "value"],
    ...values.map((value, place) => [span, metric, String(place), String(value)]),
  ];
  return h(
    "div",
    { class: "readings" },
    h(
      "p",
      {},
      `${spanName(span)} · ${metric}: ${rangeInUnit(low, high, "s")}, n = ${values.length} `,
      quietButton(word("page.csv"), () => saveCsv(rows(), [name, span, metric])),
    ),
    picture,
  );
}

// Other runs of the same case on this page, beside this one: the ratio of medians, which decides nothing by itself.
function comparedRuns(line, lines, dropped) {
  const others = [...dropped.map((run) => run.line), ...lines].filter(
    (other) => other.case === line.case && other.key !== line.key,
  );
  if (!others.length) return null;
  const median = (of, span) => of.numbers.find((found) => found[0] === span && found[1] === "latency_s")?.[3];
  const spans = line.numbers.filter(([, metric]) => metric === "latency_s").map(([span]) => span);
  return h(
    "div",
    { class: "compared" },
    h("h2", {}, word("page.same_case")),
    h(
      "ul",
      {},
      others.map((other) => {
        const ratios = spans
          .filter((span) => median(other, span))
          .map((span) => `${spanName(span)} ${(median(line, span) / median(other, span)).toFixed(2)}×`);
        return h(
          "li",
          {},
          linkTo(["trust", "run", other.key], `${other.label} · ${other.machine} · ${other.at.slice(0, 10)}`),
          " ",
          ratios.join(", "),
        );
      }),
    ),
    h("p", { class: "quiet" }, word("page.same_case_note")),
  );
}
