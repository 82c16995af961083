// Records that are dropped on the page, or picked, join its runs: read here, in the browser, and sent nowhere.
const droppedRuns = [];
const RECORD = "record.json";
const SAMPLES = "samples.parquet";
const READING = [["span", "string"], ["metric", "string"], ["value", "number"]];
const MOST_READINGS = 2_000_000; // of a table, as suite/records/stores/tables.py has it

// A library that stands in the page compressed. The policy of the page allows the very text that comes out, by its hash.
const runLibrary = once(async (name) => {
  const source = await inflated(await packedText(`script[data-library="${name}"]`)).text();
  const script = document.head.appendChild(h("script", {}, source));
  script.remove(); // it has run
});

// Every file below what was dropped, with its path.
async function filesOf(entry, path = "") {
  if (entry.isFile) return [[path + entry.name, await new Promise((done, fail) => entry.file(done, fail))]];
  const reader = entry.createReader();
  const found = [];
  for (let some; (some = await new Promise((done, fail) => reader.readEntries(done, fail))).length;) {
    for (const one of some) found.push(...(await filesOf(one, `${path}${entry.name}/`)));
  }
  return found;
}

// Takes files by path, reads each record.json with the readings beside it, and says how many joined and what did not.
async function join(files) {
  const byPath = new Map(files);
  let joined = 0;
  const refused = [];
  for (const [path, file] of files) {
    if (path.split("/").at(-1) !== RECORD) continue;
    try {
      const readings = byPath.get(path.slice(0, -RECORD.length) + SAMPLES);
      const run = await droppedRun(
        JSON.parse(await file.text()),
        readings && (await readingsOf(await readings.arrayBuffer())),
      );
      const known = droppedRuns.findIndex((other) => other.line.key === run.line.key);
      droppedRuns.splice(known < 0 ? droppedRuns.length : known, known < 0 ? 0 : 1, run);
      joined += 1;
    } catch (error) {
      refused.push(`${path}: ${error instanceof SyntaxError ? word("page.dropped_no_record") : error.message}`);
    }
  }
  const nothing = joined || refused.length ? "" : word("page.dropped_nothing");
  tell(
    [joined ? word("page.dropped", { count: joined }) : "", ...refused.slice(0, 3), nothing].filter(Boolean).join(" "),
  );
  if (joined)
    location.hash = addressOf(["trust", "runs"], {
      ...lasting(readAddress().params),
      find: word("page.dropped_label"),
    });
  if (joined) show();
}

// Span, metric and value of each reading. Of columns or groups of rows that hyparquet reads at once it reports one error
// and leaves the others unhandled: so it gets one column of one group at a time.
async function readingsOf(content) {
  await runLibrary("hyparquet");
  try {
    const metadata = Hyparquet.parquetMetadata(content);
    const readings = [];
    for (const { num_rows } of metadata.row_groups) {
      const [rowStart, rowEnd] = [readings.length, readings.length + Number(num_rows)];
      if (!(rowStart <= rowEnd && rowEnd <= MOST_READINGS)) throw new Error(`${rowEnd} rows`);
      for (let row = rowStart; row < rowEnd; row += 1) readings.push([]);
      for (const [name, type] of READING) {
        const rows = await Hyparquet.parquetReadObjects({ file: content, metadata, columns: [name], rowStart, rowEnd });
        if (rows.length !== rowEnd - rowStart || !rows.every((row) => typeof row[name] === type))
          throw new Error(`a row’s ${name} is no ${type}`);
        rows.forEach((row, place) => readings[rowStart + place].push(row[name]));
      }
    }
    return readings;
  } catch (error) {
    throw new Error(word("page.dropped_no_table", { why: error.message.slice(0, 200) }));
  }
}

function droppedRun(record, readings = []) {
  const { schema, run_key, status, evidence, environment, provenance } = record ?? {};
  const { id, axes } = record?.case ?? {};
  const hasTexts = [id, run_key, status, evidence].every((text) => typeof text === "string");
  const hasParts = [axes, environment, provenance].every((part) => part === Object(part));
  if (schema !== 1 || !hasTexts || !hasParts || !/^[0-9a-f]{64}$/.test(run_key))
    throw new Error(word("page.dropped_no_record"));
  const isTiming = (metric) => /latency_s$/.test(metric);
  const series = new Map();
  for (const [span, metric, value] of readings) {
    if (isTiming(metric) && !(value > 0 && value < Infinity)) continue; // no clock can have given it
    const name = `${span}\n${metric}`;
    if (!series.has(name)) series.set(name, [span, metric, []]);
    series.get(name)[2].push(value);
  }
  const numbers = [...series.values()].map(([span, metric, values]) => {
    const value = isTiming(metric) ? medianOf(values) : values.at(-1);
    return [span, metric, values.length, Number.isFinite(value) ? value : String(value)];
  });
  const line = {
    key: run_key.slice(0, 12),
    label: word("page.dropped_label"),
    case: id,
    status,
    reason: String(record.reason ?? ""),
    evidence,
    machine: String(environment.gpus?.[0]?.name ?? environment.gpus?.[0] ?? environment.cpu ?? ""),
    at: String(provenance.started_at ?? ""),
    commit: String(provenance.commit ?? "").slice(0, 12),
    clock: String(provenance.clock ?? ""),
    command: `suite run ${shortCase(id)}`,
    numbers,
  };
  return { line, record, readings: [...series.values()].filter(([, metric]) => isTiming(metric)) };
}

// Dropped runs as points of a figure that takes them, where they are about the same.
function droppedTraces(joins, facets) {
  if (!joins) return [];
  return droppedRuns.flatMap(({ line, record }) => {
    const { axes } = record.case;
    const median = line.numbers.find(([span, metric]) => span === joins.span && metric === "latency_s")?.[3];
    const about = {
      geometry: axes.geometry,
      dtype: axes.dtype,
      phase: FRAME.languages.en.words[`phase.${axes.phase}`],
    };
    const isOther = Object.entries(about).some(([name, value]) => facets[name] && facets[name] !== value);
    if (isOther || !(median > 0 && axes.seq_len > 0)) return [];
    const name = `${harmless(axes.attention ?? "")} · ${word("page.dropped_label")}`;
    const marker = { symbol: "star", size: 13, color: "#CC79A7", line: { width: 1 } };
    return [
      {
        type: "scatter",
        mode: "markers",
        name,
        x: [axes.seq_len],
        y: [median],
        marker,
        hovertext: [`${name}: ${seconds(median)}`],
        hoverinfo: "text",
      },
    ];
  });
}

// Text of a record inside a figure: Plotly reads tags and templates in it (suite/report/plot/text.py).
function harmless(text) {
  const alike = { "<": "‹", ">": "›", "{": "｛", "}": "｝", $: "＄" };
  return String(text)
    .slice(0, 80)
    .replace(/[<>{}$]/g, (sign) => alike[sign])
    .replaceAll("&", "&amp;");
}

function medianOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function dropButton() {
  const input = h("input", {
    type: "file",
    multiple: true,
    webkitdirectory: true,
    class: "offscreen",
    tabindex: "-1",
    "aria-hidden": "true",
  });
  input.addEventListener("change", () =>
    join([...input.files].map((file) => [file.webkitRelativePath || file.name, file])),
  );
  return h(
    "span",
    {},
    quietButton(word("page.add_record"), () => input.click()),
    input,
  );
}

function tell(text) {
  document.querySelector(".told")?.remove();
  document.body.append(
    h(
      "p",
      { class: "told", role: "status" },
      text,
      " ",
      quietButton("×", (button) => button.parentElement.remove()),
    ),
  );
}

window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", async (event) => {
  event.preventDefault();
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...event.dataTransfer.files].map((file) => [file.name, file]);
  await join(entries.length ? (await Promise.all(entries.map((entry) => filesOf(entry)))).flat() : plain);
});
