// The view that decides: a form, one sentence, a table of variants, and which GPUs hold a step of RL. `state` has the
// parameters of the address that are not the default, as text; `change` is told them when the reader changes one.
const DECIDE_DEFAULTS = {
  ...{ model: "llama-3.1-70b", sizes: "", device: "h100-sxm5-80gb", count: "4", context: "32k", batch: "" },
  ...{ new_tokens: "1", parallel: "", weights: "bfloat16", cache: "bfloat16", price: "", watts: "" },
  ...{ tpot: "", ttft: "" },
  ...{ order: "fits", more: "" },
  ...{ rl_model: "llama-3.1-8b", rl_device: "h100-sxm5-80gb", rl_count: "4", algorithm: "ppo", seq_len: "2048" },
  ...{ prompt_len: "256", group: "8", prompts: "16", lora: "", precision: "bf16" },
};

const DEADLINES = ["why.tpot", "why.ttft"];

function decideView(root, data, words, state, change) {
  const say = (key, fields = {}) => words[`decide.${key}`].replace(/\{(\w+)\}/g, (_, name) => String(fields[name]));
  const now = { ...DECIDE_DEFAULTS };
  for (const name of Object.keys(now)) if (typeof state[name] === "string") now[name] = state[name];

  if (!data.orders.includes(now.order)) now.order = DECIDE_DEFAULTS.order;

  // ---- elements
  const element = (tag, { text = "", ...attributes } = {}, ...children) => h(tag, attributes, text, ...children);

  function set(name, value) {
    now[name] = value;
    show();
    change(Object.fromEntries(Object.entries(now).filter(([key, text]) => text !== DECIDE_DEFAULTS[key])));
  }

  function field(name, label, control) {
    control.name = name;
    control.value = now[name];
    control.addEventListener("input", () => set(name, control.value.trim()));
    return element("label", { class: "decide-field" }, element("span", { text: say(label) }), control);
  }

  function select(name, label, options, written = (option) => option) {
    if (!options.includes(now[name])) now[name] = DECIDE_DEFAULTS[name];
    return field(
      name,
      label,
      element("select", {}, ...options.map((option) => element("option", { value: option, text: written(option) }))),
    );
  }

  function entry(name, label, more = {}) {
    return field(name, label, element("input", { type: "text", autocomplete: "off", spellcheck: "false", ...more }));
  }

  const number = (name, label, more = {}) =>
    entry(name, label, { inputmode: "decimal", class: "decide-number", ...more });

  function searched(name, label, options) {
    const list = element(
      "datalist",
      { id: `decide-${name}` },
      ...options.map((option) => element("option", { value: option })),
    );
    return element("div", {}, entry(name, label, { list: list.id }), list);
  }

  // ---- numbers as the suite writes them
  function digits(value) {
    if (value === 0) return "0";
    const rounded = Number(value.toPrecision(3)),
      places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))));
    return rounded.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  }

  function inUnits(value, units) {
    const [size, unit] = units.find(([least]) => value >= least) ?? units.at(-1);
    return `${digits(value / size)} ${unit}`;
  }

  const BYTES = ["TiB", "GiB", "MiB", "KiB", "B"].map((unit, at) => [2 ** (10 * (4 - at)), unit]);
  const SECONDS = ["s", "ms", "µs"].map((unit, at) => [1e-3 ** at, unit]);
  const JOULES = ["MJ", "kJ", "J"].map((unit, at) => [1e3 ** (2 - at), unit]);
  const written = {
    count: (value) => Math.round(value).toLocaleString("en-US"),
    bytes: (value) => inUnits(value, BYTES),
    seconds: (value) => inUnits(value, SECONDS),
    joules: (value) => inUnits(value, JOULES),
    percent: (value) => `${digits(100 * value)}${say("percent")}`,
    money: (value) => value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
  };

  // ---- what is typed
  function tokens(text) {
    const found = /^(\d+)([km]?)$/i.exec(text.replaceAll(",", ""));
    return found ? Number(found[1]) * { "": 1, k: 1024, m: 1024 ** 2 }[found[2].toLowerCase()] : NaN;
  }

  const optional = (text) => (text === "" ? null : Number(text.replaceAll(",", "")));

  const milliseconds = (text) => (text === "" ? null : optional(text) / 1000);

  function sizesOf(text) {
    if (!text) return null;
    return Object.fromEntries(
      text
        .split(",")
        .map((part) => part.split("="))
        .map(([name, size]) => [name, Number(size)]),
    );
  }

  const gpus = () => `${now.count || 0}x${now.device}`;
  const rlGpus = () => `${now.rl_count || 0}x${now.rl_device}`;

  function question() {
    return {
      ...(now.sizes ? { sizes: sizesOf(now.sizes) } : { model: now.model }),
      gpus: gpus(),
      context: tokens(now.context),
      batch: optional(now.batch),
      new_tokens: tokens(now.new_tokens),
      parallel: now.parallel || null,
      weights: now.weights,
      cache_dtype: now.cache,
      tpot: milliseconds(now.tpot),
      ttft: milliseconds(now.ttft),
      price: optional(now.price),
      watts: optional(now.watts),
    };
  }

  function step() {
    return {
      algorithm: now.algorithm,
      model: now.rl_model,
      gpus: rlGpus(),
      seq_len: tokens(now.seq_len),
      prompt_len: tokens(now.prompt_len),
      group: tokens(now.group),
      prompts: tokens(now.prompts),
      lora_rank: optional(now.lora),
      precision: now.precision,
    };
  }

  // ---- names
  function kind(variant, groups) {
    return variant === "gqa" ? `GQA-${groups}` : variant.toUpperCase();
  }

  function nameOf(answer) {
    if (answer.variant !== "own") return kind(answer.variant, answer.kv_heads);
    return answer.like ? say("as_it_is_like", { variant: kind(answer.like, answer.kv_heads) }) : say("as_it_is");
  }

  function layoutOf(answer, count) {
    if (!answer.layout) return null;
    const [, way, size] = /^(tp|dp|dcp)(\d+)$/.exec(answer.layout),
      groups = answer.groups,
      tp = way === "dp" ? count / groups : size;
    if (count === 1) return say("layout_one");
    const replicas = groups === 1 ? "tp" : tp > 1 ? "replicas" : "whole";
    return say(`layout_${{ dcp: "dcp", dp: tp > 1 ? "dp_tp" : "dp", tp: replicas }[way]}`, { tp, groups });
  }

  function devicesOf({ count, name, memory }) {
    return `${count} × ${name ?? `${memory / 1e9} GB`}`;
  }

  function refused(why, options) {
    const asked = String(why.model ?? "").toLowerCase();
    const near = why.key === "refused.model" && asked ? options.filter((name) => name.includes(asked)).slice(0, 5) : [];
    const meant = near.length ? say("near", { names: near.join(say("list")) }) : "";
    return [element("p", { class: "decide-answer", role: "alert", text: sayWhy(words, why) + meant })];
  }

  // ---- tables: a column is a title, a cell of an answer, and whether it waits until all are shown
  function table(caption, columns, rows, { opened, bar = null }) {
    const most = bar ? Math.max(...rows.map((row) => bar(row) ?? 0)) : 0;
    const head = columns.map(([title, , more]) =>
      element("th", { scope: "col", text: title, hidden: Boolean(more && !opened) }),
    );
    const lines = rows.map((row) =>
      element(
        "tr",
        { class: row.fits === false ? "decide-not" : null },
        ...columns.map(([title, cell, more], at) => {
          const made = element(at ? "td" : "th", {
            scope: at ? null : "row",
            "data-title": title,
            text: cell(row) ?? "–",
            hidden: Boolean(more && !opened),
          });
          if (!at && bar && bar(row)) {
            const drawn = element("span", { class: "decide-bar", "aria-hidden": "true" });
            drawn.style.width = `${(100 * bar(row)) / most}%`;
            made.append(drawn);
          }
          return made;
        }),
      ),
    );
    const made = element(
      "table",
      { class: "decide-table" },
      element("caption", { text: caption }),
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...lines),
    );
    const box = element("div", { class: "decide-box", tabindex: opened ? "0" : null }, made);
    return shadowed(box).frame;
  }

  const cell = (name, write) => (answer) => (answer[name] === null ? null : write(answer[name]));

  function serving() {
    const found = chooseAnswers(data, question(), now.order);
    if (found.refusal) return refused(found.refusal, Object.keys(data.models));
    const priced = found.answers.some((answer) => answer.cost_per_million !== null);
    const opened = now.more !== "",
      isExpected = found.by === "expected";
    const expected = (answer) => {
      const [middle, low, high] = ["", "_low", "_high"].map((end) => answer[`expected${end}_s`]);
      const write = written.seconds;
      return middle === null ? null : say("range", { middle: write(middle), low: write(low), high: write(high) });
    };
    const layout = [say("layout"), (answer) => layoutOf(answer, found.gpus.count)],
      rate = [say("rate"), cell("tokens_per_s", written.count)],
      bound = [say("bound"), cell("bound_s", written.seconds)];
    const [step, other] = isExpected ? [[say("expected"), expected], bound] : [bound, [say("expected"), expected]];
    const energy = [say("energy"), cell("joules_per_million", written.joules)];
    const largest = [say("largest"), cell("largest_batch", written.count)],
      weights = [say("weight_bytes"), cell("weight_bytes", written.bytes)];
    const batch = [say("step_batch"), cell("batch", written.count)],
      prompt = [say("prompt"), cell("prompt_s", written.seconds)];
    const more = [
      [say("token_bytes"), cell("token_bytes", written.bytes)],
      [say("sequence_bytes"), cell("sequence_bytes", written.bytes)],
      ...[weights, ...(now.tpot ? [] : [batch]), other, ...(priced ? [energy] : [])],
    ].map((column) => [...column, true]);
    const cost = priced ? [say("cost"), cell("cost_per_million", written.money)] : energy;
    const deadlines = [...(now.tpot ? [batch] : []), ...(now.ttft ? [prompt] : [])];
    const columns = [[say("variant"), nameOf], layout, largest, ...deadlines, step, rate, cost, ...more];
    const bar = {
      fits: (answer) => answer.largest_batch,
      fastest: (answer) => answer.tokens_per_s,
      cheapest: (answer) => answer.cost_per_million ?? answer.joules_per_million,
    }[now.order];
    const answer = element("p", { class: "decide-answer", text: sentence(found) });
    if (!found.answers.some((one) => one.layout)) return [answer];
    return [
      answer,
      table(say("table"), columns, found.answers, { opened, bar }),
      element("ul", { class: "decide-notes" }, ...notes(found).map((text) => element("li", { text }))),
      found.layouts.length > 1 ? folded("layouts", [layout, largest, step, rate, weights], found.layouts, bar) : "",
      isExpected ? errorsTable(found) : "",
      element(
        "p",
        { class: "decide-command" },
        element("span", { text: say("copy") }),
        element("code", { text: command() }),
      ),
    ];
  }

  // The errors of every family that an answer's time comes from.
  function errorsTable({ gpus, answers }) {
    const used = new Set(answers.flatMap((answer) => answer.expected_by?.split("; ") ?? []));
    const { fits, products } = gpus.device.calibration;
    const kernels = fits.map((fit) => [fit[8], ...fit.slice(8)]);
    const around = products.map((fit) => [say(`family_${fit[0]}`, { weights: fit[1], rows: fit[2] }), ...fit.slice(5)]);
    const rows = [...kernels, ...around].filter(([, family]) => used.has(family));
    const columns = [
      [say("family"), ([name]) => name],
      [say("median_error"), ([, , , median]) => written.percent(Math.expm1(median))],
      [say("p90_error"), ([, , reach]) => written.percent(Math.expm1(reach))],
      [say("cells"), ([, , , , cells]) => written.count(cells)],
    ];
    return folded("errors", columns, rows);
  }

  function folded(name, columns, rows, bar = null) {
    const summary = element("summary", { text: say(name) });
    return element("details", { "data-name": name }, summary, table(say(name), columns, rows, { opened: true, bar }));
  }

  function sentence(found) {
    const [own, ...variants] = found.answers,
      fitting = variants.filter((answer) => answer.fits),
      not = variants.filter((answer) => answer.layout && !answer.fits).map(nameOf);
    const fields = {
      devices: devicesOf(found.gpus),
      model: now.sizes ? say("own_model") : found.model,
      layout: layoutOf(own, found.gpus.count),
    };
    const costs = (answer) => answer.cost_per_million !== null || answer.joules_per_million !== null;
    const known = { fits: true, fastest: own.tokens_per_s !== null, cheapest: costs(own) }[now.order];
    const ruled = known ? now.order : "fits";
    const first = own.fits
      ? say(`answer_${ruled}`, { ...fields, ...numbersOf(own), own: nameOf(own) })
      : say(own.layout ? "answer_none" : "answer_impossible", { ...fields, why: sayWhy(words, own.why) });
    const others = fitting.map((answer) => say(`other_${ruled}`, { ...numbersOf(answer), variant: nameOf(answer) }));
    return [
      first,
      own.fits && now.tpot ? say("answer_in_time", { tpot: now.tpot, ...numbersOf(own) }) : "",
      others.length ? say("others", { others: others.join(say("list")) }) : "",
      not.length ? say("not_with", { others: not.join(say("list")) }) : "",
    ]
      .filter(Boolean)
      .join(say("then"));
  }

  function numbersOf(answer) {
    const { cost_per_million: money, joules_per_million: joules, tokens_per_s: rate } = answer;
    return {
      largest: written.count(answer.largest_batch),
      batch: written.count(answer.batch),
      rate: rate === null ? "" : written.count(rate),
      cost: money !== null ? written.money(money) : joules !== null ? written.joules(joules) : "",
    };
  }

  function notes(found) {
    const lines = [
      [say(`by_${found.by ?? "none"}`), found.by && found.watts ? say("at_watts", { watts: found.watts }) : ""]
        .filter(Boolean)
        .join(say("then")),
      ...(now.tpot ? [say("held_to_tpot")] : []),
      ...(now.ttft ? [say("held_to_ttft")] : []),
    ];
    const reasons = new Map();
    for (const answer of found.answers) {
      const why = answer.why ?? answer.expected_why;
      if (!why || (answer.why && answer.variant === "own")) continue;
      const kind = answer.why ? (DEADLINES.includes(why.key) ? "misses" : "does_not_fit") : "not_expected",
        text = say(kind, { why: sayWhy(words, why) });
      reasons.set(text, [...(reasons.get(text) ?? []), nameOf(answer)]);
    }
    return [...lines, ...[...reasons].map(([text, names]) => say("of", { names: names.join(say("list")), text }))];
  }

  function command() {
    const model = now.sizes ? `--sizes ${now.sizes}` : `--model ${now.model}`;
    const parts = [`suite choose ${model} --gpus ${gpus()} --context ${now.context}`];
    const named = {
      ...{ batch: "--batch", new_tokens: "--new-tokens", parallel: "--parallel", weights: "--weights" },
      ...{ cache: "--cache-dtype", price: "--price", watts: "--watts", order: "--sort" },
    };
    for (const name of ["tpot", "ttft"]) if (now[name]) parts.push(`--${name} ${now[name]}ms`);
    for (const [name, option] of Object.entries(named))
      if (now[name] !== DECIDE_DEFAULTS[name]) parts.push(`${option} ${now[name]}`);
    return parts.join(" ");
  }

  function precisionOf(precision) {
    return now.lora ? say("precision_lora", { precision }) : say(`precision_${precision}`);
  }

  function setsOf(fit) {
    const told = fit.sets.slice(0, 2).map(([count, gigabytes]) => say("rl_set", { count, gigabytes }));
    return told.length ? told.join(say("or")) : say("rl_no_set");
  }

  function training() {
    const found = fitAnswers(data, step());
    if (found.refusal) return refused(found.refusal, dense);
    // The same step with twice the bytes for what is trained, or half.
    const other = now.precision === "bf16" ? "mixed" : "bf16",
      [beside] = fitAnswers(data, { ...step(), precision: other }).answers;
    const [asked] = found.answers,
      said = {
        algorithm: asked.label,
        model: found.model,
        devices: devicesOf(found.gpus),
        precision: precisionOf(now.precision),
        peak: written.bytes(asked.peak_bytes),
        spare: written.bytes(Math.abs(asked.spare_bytes)),
        sets: setsOf(asked),
      };
    const columns = [
      [say("algorithm"), (fit) => fit.label],
      [say("rl_fit"), (fit) => say(fit.fits ? "yes" : "no")],
      [say("rl_peak"), cell("peak_bytes", written.bytes)],
      [say("rl_phase"), (fit) => say(`phase_${fit.phase}`)],
      [say("rl_sets"), setsOf],
    ];
    const parts = Object.entries(asked.parts)
      .map(([label, size]) => ({ label, size }))
      .sort((a, b) => b.size - a.size);
    const partName = ({ label }) => {
      const [owner, one] = label.split("/");
      return say("owned", { owner: say(`owner_${owner}`), kind: say(`kind_${one}`) });
    };
    const held = [
      [say("part"), partName],
      [say("rl_peak"), (part) => written.bytes(part.size)],
    ];
    return [
      element("p", { class: "decide-answer", text: say(asked.fits ? "rl_fits" : "rl_not", said) }),
      element("p", { text: say("rl_other", { precision: precisionOf(other), sets: setsOf(beside) }) }),
      table(say("rl_table"), columns, found.answers, { opened: true, bar: (fit) => fit.peak_bytes }),
      folded("rl_parts", held, parts, (part) => part.size),
    ];
  }

  // ---- the form, once; results anew at each change
  const served = element("div", { class: "decide-result", "aria-live": "polite" });
  const trained = element("div", { class: "decide-result", "aria-live": "polite" });
  const orders = data.orders.map((order) =>
    element("button", { type: "button", text: say(order), "aria-pressed": "false" }),
  );
  orders.forEach((button, at) => button.addEventListener("click", () => set("order", data.orders[at])));
  const all = element("button", { type: "button", text: say("more"), "aria-pressed": "false" });
  all.addEventListener("click", () => set("more", now.more ? "" : "all"));

  function show() {
    orders.forEach((button, at) => button.setAttribute("aria-pressed", String(data.orders[at] === now.order)));
    all.setAttribute("aria-pressed", String(now.more !== ""));
    const open = new Set([...root.querySelectorAll("details[data-name][open]")].map((one) => one.dataset.name));
    served.replaceChildren(...serving());
    trained.replaceChildren(...training());
    root.querySelectorAll("details[data-name]").forEach((one) => (one.open = open.has(one.dataset.name)));
  }

  function ownSizes() {
    const box = element(
      "details",
      { class: "decide-own", open: now.sizes !== "" },
      element("summary", { text: say("own") }),
    );
    const given = sizesOf(now.sizes) ?? {};
    const inputs = data.sizes.map((name) => {
      const input = element("input", { type: "text", inputmode: "numeric", class: "decide-number", name });
      input.value = given[name] ?? "";
      input.addEventListener("input", tell);
      return input;
    });
    function tell() {
      const filled = inputs.filter((input) => input.value.trim());
      set("sizes", filled.map((input) => `${input.name}=${input.value.trim()}`).join(","));
    }
    box.append(
      element(
        "div",
        { class: "decide-form" },
        ...inputs.map((input) =>
          element("label", { class: "decide-field" }, element("span", { text: say(input.name) }), input),
        ),
      ),
    );
    return box;
  }

  const devices = Object.keys(data.devices),
    dense = Object.keys(data.models).filter((name) => data.models[name].rl);
  const algorithms = Object.keys(data.algorithms);
  root.classList.add("decide");
  root.replaceChildren(
    element(
      "section",
      {},
      element("h1", { text: say("title") }),
      element(
        "form",
        { class: "decide-form" },
        searched("model", "model", Object.keys(data.models)),
        select("device", "device", devices),
        number("count", "count"),
        number("context", "context", { inputmode: "text" }),
        number("batch", "batch", { placeholder: say("batch_hint") }),
        number("new_tokens", "new_tokens"),
        entry("parallel", "parallel", { placeholder: say("parallel_hint"), class: "decide-number" }),
        select("weights", "weights", Object.keys(data.weights)),
        select("cache", "cache_dtype", data.cache_dtypes),
        number("tpot", "tpot"),
        number("ttft", "ttft"),
        number("price", "price"),
        number("watts", "watts", { placeholder: "TDP" }),
      ),
      ownSizes(),
      element("div", { class: "decide-orders", role: "group", "aria-label": say("order") }, ...orders, all),
      served,
      element("p", { class: "note", text: say("explanation") }),
    ),
    element(
      "section",
      {},
      element("h2", { text: say("rl_title") }),
      element(
        "form",
        { class: "decide-form" },
        select("algorithm", "algorithm", algorithms, (name) => data.algorithms[name][0]),
        searched("rl_model", "model", dense),
        select("rl_device", "device", devices),
        number("rl_count", "count"),
        number("seq_len", "seq_len", { inputmode: "text" }),
        number("prompt_len", "prompt_len"),
        number("group", "group"),
        number("prompts", "prompts"),
        number("lora", "lora_rank", { placeholder: say("lora_hint") }),
        select("precision", "precision", data.precisions),
      ),
      trained,
      element("p", { class: "note", text: say("rl_explanation", { share: 100 * data.most_apart }) }),
    ),
  );
  root.querySelectorAll("form").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));
  show();
}
