// The card of a point that was clicked: what it says, the runs that it is made of, and the command of each.
const MOST_RUNS_PINNED = 10;

async function pin(card, point, trace) {
  const lines = await numberedRuns();
  const index = point.pointIndex ?? point.pointNumber;
  const numbers = trace ? runsOf(trace, Array.isArray(index) ? index[1] : index) : [];
  const text = [trace?.hovertext, trace?.text]
    .map((texts) => (Array.isArray(index) ? texts?.[index[0]]?.[index[1]] : texts?.[index]))
    .find(Boolean);
  const parts = [
    h(
      "button",
      { type: "button", class: "close", "aria-label": word("page.close"), onclick: () => (card.hidden = true) },
      "×",
    ),
    h("p", {}, h("strong", {}, unescaped(trace?.name ?? "")), text ? ` ${unescaped(text)}` : ""),
    ...numbers.slice(0, MOST_RUNS_PINNED).map((number) => pinnedRun(lines[number], numbers.length === 1)),
    numbers.length > MOST_RUNS_PINNED &&
      h("p", { class: "quiet" }, word("page.more_runs", { count: numbers.length - MOST_RUNS_PINNED })),
    !numbers.length && h("p", { class: "quiet" }, word("page.of_no_run")),
  ];
  card.replaceChildren(...parts.filter(Boolean));
  card.hidden = false;
}

function pinnedRun(line, isAlone) {
  const seed = / seed=(\S+)/.exec(line.case)?.[1];
  const name = isAlone || !seed ? runName(line) : `seed=${seed}`;
  return h(
    "div",
    { class: "run" },
    h(
      "p",
      {},
      linkTo(["trust", "run", line.key], name),
      ` · ${line.machine} · ${line.at.slice(0, 10)} · ${line.commit}`,
    ),
    isAlone && numbersOf(line),
    commandElement(line.command),
  );
}

// The timings of a run, the interval of each beside it.
function numbersOf(line) {
  const timed = line.numbers.filter(([, metric]) => metric === "latency_s");
  const clock = hasWord(`clock.${line.clock}`) ? word(`clock.${line.clock}`) : line.clock;
  return h(
    "p",
    {},
    timed.map(([span, , count, median, low, high]) => {
      const interval = low === undefined ? "–" : rangeInUnit(low, high, "s");
      const values = { span: spanName(span), median: seconds(median), interval, count, clock };
      return h("span", { class: "timing" }, word("page.timing", values), " ");
    }),
  );
}

function spanName(span) {
  return hasWord(`span.${span}`) ? word(`span.${span}`) : span;
}

function seconds(value) {
  return inUnit(value, "s");
}

function commandElement(command) {
  return h(
    "div",
    { class: "command" },
    h("code", {}, command),
    doneButton(word("page.copy"), word("page.copied"), () => copyText(command)),
  );
}
