// Records that are dropped on the page, or picked, join its runs: read here, in the browser, and sent nowhere.
const droppedRuns = [];
const RECORD = "record.json";
const SAMPLES = "samples.parquet";

// A library that stands in the page compressed. The policy of the page allows the very text that comes out, by its hash.
const runningLibraries = new Map();
function runLibrary(name) {
  if (!runningLibraries.has(name)) runningLibraries.set(name, startLibrary(name));
  return runningLibraries.get(name);
}

async function startLibrary(name) {
  const source = await inflated(document.querySelector(`script[data-library="${name}"]`).textContent);
  document.head.append(h("script", {}, source));
}

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
      refused.push(`${path}: ${error.message}`);
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

async function readingsOf(content) {
  await runLibrary("hyparquet");
  return Hyparquet.parquetReadObjects({ file: content });
}

function droppedRun(record, readings = []) {
  if (record?.schema !== 1 || typeof record.case?.id !== "string" || typeof record.run_key !== "string")
    throw new Error(word("page.dropped_no_record"));
  const every = new Map();
  for (const { span, metric, value, step } of readings) {
    const name = `${span}\n${metric}`;
    if (!every.has(name)) every.set(name, []);
    every.get(name).push([Number(step), value]);
  }
  const timed = [...every].filter(([name]) => /latency_s$/.test(name));
  const numbers = [...every].map(([name, values]) => {
    const plain = values.map(([, value]) => value);
    return [...name.split("\n"), plain.length, /latency_s$/.test(name) ? medianOf(plain) : plain.at(-1)];
  });
  const { environment = {}, provenance = {} } = record;
  const line = {
    key: record.run_key.slice(0, 12),
    label: word("page.dropped_label"),
    case: record.case.id,
    status: String(record.status),
    reason: record.reason ?? "",
    evidence: String(record.evidence),
    machine: String(environment.gpus?.[0]?.name ?? environment.gpus?.[0] ?? environment.cpu ?? ""),
    at: String(provenance.started_at ?? ""),
    commit: String(provenance.commit ?? "").slice(0, 12),
    clock: String(provenance.clock ?? ""),
    command: `suite run ${shortCase(record.case.id)}`,
    numbers,
  };
  return {
    line,
    record,
    readings: timed.map(([name, values]) => [...name.split("\n"), values.map(([, value]) => value)]),
  };
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
    if (isOther || !median || !axes.seq_len) return [];
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
