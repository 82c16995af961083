// The chooser: it multiplies the coefficients of suite/report/decide/data.py and takes the larger. The formulas are those
// of suite/theory, and the answers those of suite.theory.answers.choose and .fit; a test asks both the same questions.
const { chooseAnswers, fitAnswers, sayWhy, bytesOf } = (() => {
  const ELEMENT = 2,
    MILLION = 1e6,
    HOUR = 3600;
  const sum = (items, of) => items.reduce((total, item) => total + of(item), 0);
  const ceilDiv = (a, b) => Math.ceil(a / b);
  const isCount = (value, least = 1) => Number.isInteger(value) && value >= least;

  // ---- forms: `=2*hidden_size*h+128` is a sum of products of named sizes, and always a whole number
  function filled(form, sizes) {
    if (Array.isArray(form)) return form.map((part) => filled(part, sizes));
    if (form && typeof form === "object")
      return Object.fromEntries(Object.entries(form).map(([name, part]) => [name, filled(part, sizes)]));
    if (typeof form !== "string" || !form.startsWith("=")) return form;
    const product = (text) => text.split("*").reduce((all, factor) => all * (sizes[factor] ?? Number(factor)), 1);
    return Math.round(sum(form.slice(1).split("+"), product));
  }

  // ---- a layer: rows that it keeps, scans over them; `narrow`: the cache is kept in eight bits
  function rowBytes([count, width, , , isWide], narrow) {
    return count * (narrow && !isWide ? width + 4 * ceilDiv(width, 128) : width * ELEMENT);
  }

  // What is left of many tokens, and what one adds in the long run.
  const keptBytes = (rows, tokens, narrow) =>
    rowBytes(rows, narrow) * Math.floor((rows[3] ? Math.min(tokens, rows[3]) : tokens) / rows[2]);
  const grownBytes = (rows, narrow) => (rows[3] ? 0 : rowBytes(rows, narrow) / rows[2]);

  // Query-row pairs of a pass, whose last query sees every token: the sum of min(p // every, cap), or of chunks.
  function pairsOf(pass, every, cap, isChunked) {
    const seen = (count) => {
      const blocks = Math.floor(count / every);
      return (every * blocks * (blocks - 1)) / 2 + blocks * ((count % every) + 1);
    };
    const total = (count) => {
      if (isChunked) return Math.floor(count / cap) * seen(cap) + seen(count % cap);
      return !cap || count < cap * every ? seen(count) : seen(cap * every - 1) + cap * (count - cap * every + 1);
    };
    return total(pass.seq) - total(pass.seq - pass.query);
  }

  function scanWork([pairFlops, elements, rows, every, window, picks, isChunked], pass) {
    let read = Math.floor(pass.seq / every);
    if (window) read = Math.min(read, window + pass.query - 1);
    if (picks) read = Math.min(read, picks * pass.query);
    const row = sum(rows, (one) => rowBytes(one, pass.narrow));
    return {
      flops: pass.batch * pairsOf(pass, every, picks || window, isChunked) * pairFlops,
      read: pass.batch * read * row,
      bytes: pass.batch * (read * row + pass.query * elements * ELEMENT),
    };
  }

  function kernelWork(layer, pass) {
    const works = (layer.scans ?? []).map((scan) => scanWork(scan, pass));
    const [flops, elements] = layer.token ?? [0, 0];
    return {
      flops: sum(works, (work) => work.flops) + pass.batch * pass.query * flops,
      bytes:
        sum(works, (work) => work.bytes) +
        pass.batch * (pass.query * elements * ELEMENT + 2 * (layer.state ?? 0)),
    };
  }

  // ---- layouts of the devices, as suite.theory.layers.parallel
  const nameOf = (layout) =>
    layout.context ? `dcp${layout.tp}` : layout.mlps ? `dp${layout.groups}` : `tp${layout.tp}`;
  const divisorsOf = (count) => [...Array(count).keys()].map((at) => count - at).filter((size) => count % size === 0);

  function layoutsOf(devices, parallel, mlps) {
    if (parallel === null) {
      const replicas = divisorsOf(devices).map((tp) => ({ tp, groups: devices / tp, mlps: false, context: false }));
      const attention = replicas.filter(({ groups }) => mlps && groups > 1);
      return [...replicas, ...attention.map((one) => ({ ...one, mlps: true }))];
    }
    const [way, size] = parallel;
    if (way === "dp") return [{ tp: devices / size, groups: size, mlps: mlps && size > 1, context: false }];
    return [{ tp: size, groups: devices / size, mlps: false, context: way === "dcp" && size > 1 }];
  }

  // `null` where nothing is said; undefined for what these devices cannot be divided by.
  function parallelOf(text, devices) {
    if (text === null || text === "") return null;
    const found = /^(tp|dp|dcp)([1-9]\d*)?$/.exec(text),
      size = Number(found?.[2] ?? devices);
    if (!found || devices % size || (found[1] === "dcp" && size !== devices)) return undefined;
    return [found[1], size];
  }

  // ---- a model on several devices, as suite.theory.answers.capacity.SharedModel
  function sharedModel(data, model, layers, layout, { weight, narrow }) {
    const { tp, groups, context } = layout,
      whole = layers.map(({ form, sizes }) => filled(form, { ...sizes, h: 1, g: 1 })),
      odd = whole.find((layer) => !["full", "latent", "mlp"].includes(layer.kind) || layer.indexed);
    if (context && odd) return { refusal: { key: "why.dcp", kind: odd.kind } };
    for (const layer of whole) {
      const shared = [...(layer.heads ?? []), ...(tp % (layer.groups ?? 1) ? [["num_kv_heads", layer.groups]] : [])];
      const [name, count] = shared.find(([, number]) => number % tp) ?? [];
      if (name) return { refusal: { key: "why.heads", name, count, devices: tp } };
    }
    const ranks = layers.map(({ form, sizes }, at) => {
      const own = whole[at].groups ?? 1;
      return filled(form, { ...sizes, h: 1 / tp, g: 1 / (tp % own ? tp : own) });
    });
    const kernels = context ? whole : ranks;
    const counted = (of, name) => sum(of, (layer) => layer.count * (layer[name] ?? 0));
    const attention = (of) => counted(of, "matrix") + counted(of, "vector");
    const { mlps, norms, rest, table, idle = 0, blocks } = model,
      [routed, picked, expertLayers] = model.experts ?? [1, 0, 0],
      unrouted = model.experts ? 1 - picked / routed : 0,
      experts = idle ? idle / unrouted : 0,
      mlpDevices = tp * (layout.mlps ? groups : 1);

    const passOf = (batch, query, seq) => ({
      ...{ batch: ceilDiv(batch, groups), query, narrow, seq: context ? ceilDiv(seq, tp) : seq },
    });

    // Matrix products of a step, as kind, rows, number and work: of attention, of MLPs and head, and of experts.
    function products(batch, query, seq) {
      const here = passOf(batch, query, seq).batch * query,
        tokens = layout.mlps ? batch * query : here,
        dense = (mlps - experts + table) / mlpDevices,
        touched = (experts - experts * unrouted ** tokens) / mlpDevices;
      const work = (rows, used, read) => ({ flops: 2 * rows * used, bytes: weight * read });
      const count = sum(ranks, (layer) => layer.count * data.products_around[layer.kind === "latent" ? "mla" : "gqa"]);
      return [
        ["matrices", here, count, work(here, counted(ranks, "matrix"), attention(ranks))],
        ["matrices", tokens, 2 * blocks + 1, work(tokens, dense, dense)],
        ...(experts ? [["experts", tokens, expertLayers, work(tokens, (experts - idle) / mlpDevices, touched)]] : []),
      ];
    }

    return {
      ...{ passOf, products, kernels },
      parameters: rest + mlps + norms + attention(whole),
      weightBytes:
        weight * (attention(ranks) + norms + table * (1 / tp - 1 / mlpDevices) + (rest + mlps) / mlpDevices),
      tokenBytes: sum(whole, (layer) => layer.count * sum(layer.rows ?? [], (rows) => grownBytes(rows, narrow))),
      sequenceBytes: (tokens) => {
        const kept = (rows) => keptBytes(rows, context ? ceilDiv(tokens, tp) : tokens, narrow);
        return sum(kernels, (layer) => layer.count * sum(layer.rows ?? [], kept)) + counted(kernels, "state");
      },
      step: (batch, query, seq) => {
        const pass = passOf(batch, query, seq),
          works = products(batch, query, seq).map(([, , , work]) => work);
        const part = (name) =>
          sum(works, (work) => work[name]) + sum(kernels, (layer) => layer.count * kernelWork(layer, pass)[name]);
        return { flops: part("flops"), bytes: part("bytes") };
      },
    };
  }

  const boundOf = (device, work) => Math.max(work.flops / device.flops_per_s, work.bytes / device.bytes_per_s);

  // ---- times expected by a device's calibration: seconds and both ends, or the reason why there are none
  function expectedOf(data, device, model, sizes, weights) {
    if (!device.calibration) return { key: "unknown.device" };
    const times = [],
      pass = model.passOf(...sizes);
    for (const layer of model.kernels.filter(({ kind }) => kind !== "mlp")) {
      if (!layer.plain) return { key: layer.indexed ? "unknown.indexed" : "unknown.kind", kind: layer.kind };
      const window = layer.plain[5],
        seq = window ? Math.min(sizes[2], window + pass.query - 1) : pass.seq;
      const found = expectedKernel(data, device, layer, { ...pass, seq });
      if (found.key) return found;
      times.push({ ...found, times: layer.count });
    }
    for (const [kind, rows, count, work] of model.products(...sizes)) {
      const fit = device.calibration.products.findLast(
        (row) => row[0] === kind && row[1] === weights && row[2] <= rows,
      );
      if (!fit) return { key: `unknown.${kind}`, dtype: weights };
      const [, , , floor, share, family, reach] = fit,
        bound = boundOf(device, work);
      times.push({ ...within(count * floor + bound / share, bound, reach), family, times: 1 });
    }
    const total = (end) => sum(times, (time) => time.times * time[end]);
    const families = [...new Set(times.map((time) => time.family))].join("; ");
    return { seconds: total("seconds"), low: total("low"), high: total("high"), families };
  }

  // No part of a time is shorter than the bound.
  const within = (seconds, bound, reach) => ({
    seconds: Math.max(bound, seconds),
    low: Math.max(bound, seconds / Math.exp(reach)),
    high: Math.max(bound, seconds * Math.exp(reach)),
  });

  function expectedKernel(data, device, layer, pass) {
    if (pass.narrow) return { key: "unknown.dtype", dtype: data.dtype };
    const [kernel, heads, groups, score, value] = layer.plain,
      named = { kernel: kernel.toUpperCase() };
    const ofKernel = device.calibration.fits.filter((fit) => fit[0] === kernel);
    if (!ofKernel.length) return { key: "unknown.kernel", ...named };
    const alike = ofKernel.filter((fit) => fit[3] === score && fit[4] === value);
    if (!alike.length) return { key: "unknown.widths", ...named, score, value };
    if (pass.seq < data.fewest_tokens) return { key: "unknown.tokens", tokens: data.fewest_tokens };
    const [, , , , , floor, memoryShare, share, family, reach] = nearest(alike, heads, groups);
    const work = scanWork(layer.scans[0], pass),
      memory = work.read / device.bytes_per_s,
      arithmetic = work.flops / device.flops_per_s;
    if (Math.max(memory, arithmetic) < data.least_bound) return { key: "unknown.short", least: 1e6 * data.least_bound };
    if (share === null && arithmetic / data.near_peak > memory / memoryShare) return { key: "unknown.arithmetic" };
    const slower = share === null ? memory / memoryShare : Math.max(memory / memoryShare, arithmetic / share);
    return { ...within(floor + slower, boundOf(device, work), reach), family };
  }

  // In heads per group, then in heads, then in groups, as logarithms.
  function nearest(fits, heads, groups) {
    const apart = (fit) => {
      const [ofHeads, ofGroups] = [Math.log(fit[1] / heads), Math.log(fit[2] / groups)];
      return [ofHeads - ofGroups, ofHeads, ofGroups].map((size) => Math.round(Math.abs(size) * 1e9));
    };
    const before = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
    return fits.reduce((best, fit) => (before(apart(fit), apart(best)) < 0 ? fit : best));
  }

  // ---- the model that is asked, and the variants laid over it
  const named = (text, full, short) =>
    Object.hasOwn(full, text) ? text : Object.hasOwn(short, text) ? short[text] : null;

  function modelOf(data, { model, sizes }) {
    if (!sizes) {
      const name = named(model, data.models, data.short_models);
      return name ? { name, model: data.models[name] } : { refusal: { key: "refused.model", model } };
    }
    const wrong = data.sizes.find((name) => !isCount(sizes[name])),
      { num_heads: heads, num_kv_heads: groups, head_dim: width } = sizes;
    if (wrong) return { refusal: { key: "refused.size", name: wrong } };
    if (heads % groups) return { refusal: { key: "refused.groups", heads, groups } };
    if (width % 4) return { refusal: { key: "refused.width", width } };
    const usual = divisorsOf(heads).find((size) => size <= data.usual_groups && size < Math.max(2, heads)),
      own = { ...sizes, ...filled(data.own, sizes), like: groups === 1 ? "mqa" : groups === heads ? "mha" : "gqa" },
      layer = { form: data.variants.grouped, sizes: { ...own, count: own.blocks } };
    return { name: "own", model: { ...own, groups: groups === heads ? usual : groups, layers: [layer] } };
  }

  function variantsOf(data, model) {
    const layers = model.layers.map((layer) => (layer.form ? layer : { form: layer, sizes: {} }));
    const blocks = layers.filter(({ form }) => form.kind === "mlp"),
      count = sum(layers, ({ form, sizes }) => filled(form.count, sizes)) - sum(blocks, ({ form }) => form.count);
    const laid = (form, sizes) => [{ form: data.variants[form], sizes: { ...model, count, ...sizes } }, ...blocks];
    const own = { variant: "own", kv_heads: model.kv_heads ?? null, like: model.like ?? null, layers },
      found = [own];
    for (const [variant, groups] of Object.entries({ mha: model.num_heads, gqa: model.groups, mqa: 1 })) {
      if (found.some(({ kv_heads }) => kv_heads === groups)) continue;
      found.push({ variant, kv_heads: groups, like: null, layers: laid("grouped", { kv_heads: groups }) });
    }
    if (own.like !== "mla") {
      const form = model.q_lora_rank ? "ranked" : "latent";
      found.push({ variant: "mla", kv_heads: null, like: null, layers: laid(form, {}) });
    }
    return found;
  }

  function gpusOf(data, text) {
    const [, digits, one] = /^(\d+)x(.+)$/.exec(text ?? "") ?? [],
      count = Number(digits),
      name = one && named(one, data.devices, data.short_devices);
    if (count >= 1 && Number(one) > 0 && /^\d+(\.\d+)?$/.test(one))
      return { count, memory: Math.floor(Number(one) * 1e9), device: null };
    if (!(count >= 1) || !name) return { refusal: { key: "refused.gpus", gpus: String(text) } };
    return { count, memory: data.devices[name].memory, device: data.devices[name], name };
  }

  // The answers to a question with the fields of suite.theory.answers.choose.Question: the model as it is, then the
  // variants, the best by `order` first; or a refusal.
  function chooseAnswers(data, question, order = "fits") {
    const asked = { new_tokens: 1, batch: null, weights: data.dtype, cache_dtype: data.dtype, ...question };
    const found = modelOf(data, asked),
      gpus = gpusOf(data, asked.gpus);
    if (gpus.count > data.most_devices)
      gpus.refusal = { key: "refused.many", most: data.most_devices, count: gpus.count };
    const parallel = gpus.refusal ? null : parallelOf(asked.parallel ?? null, gpus.count);
    const wrong = found.refusal ?? gpus.refusal ?? refusalOf(asked, gpus, parallel);
    if (wrong) return { refusal: wrong };
    const watts = asked.watts ?? gpus.device?.watts ?? null;
    const compared = (answers) => {
      const by = clockOf(answers);
      return orderedAnswers(answers.map((answer) => pricedAnswer(answer, asked, gpus, by, watts)), order);
    };
    const layouts = variantsOf(data, found.model).map((laid) =>
      compared(answersOf(data, { ...asked, parallel }, gpus, found.model, laid)),
    );
    const answers = compared(layouts.map(([best]) => best));
    return { by: clockOf(answers), watts, model: found.name, gpus, answers, layouts: layouts[0] };
  }

  function clockOf(answers) {
    const fitting = answers.filter((answer) => answer.fits);
    if (!fitting.length || fitting[0].bound_s === null) return null;
    return fitting.every((answer) => answer.expected_s !== null) ? "expected" : "bound";
  }

  function refusalOf(asked, { count: devices }, parallel) {
    const { context, new_tokens: query, batch } = asked;
    if (parallel === undefined) {
      const sizes = divisorsOf(devices).reverse().join("|");
      return { key: "refused.parallel", sizes, devices, got: asked.parallel };
    }
    if (!isCount(context, 2)) return { key: "refused.context" };
    if (!isCount(query) || query >= context) return { key: "refused.new_tokens", most: context - 1, got: query };
    if (parallel?.[0] === "dcp" && devices > 1 && ceilDiv(context, devices) <= query)
      return { key: "refused.dcp", context, devices, query };
    if (batch !== null && !isCount(batch)) return { key: "refused.batch" };
    for (const [name, least] of Object.entries({ price: 0, watts: Number.MIN_VALUE })) {
      const got = asked[name] ?? null;
      if (got !== null && !(got >= least)) return { key: `refused.${name}`, got };
    }
    return null;
  }

  const answerWith = (data, { variant, kv_heads, like }, known) => ({
    ...Object.fromEntries(data.answer.map((name) => [name, null])),
    ...{ variant, kv_heads, like, fits: false, ...known },
  });

  // Every possible layout of one variant; else a single answer that says why there is none.
  function answersOf(data, asked, gpus, model, laid) {
    const sizes = { weight: data.weights[asked.weights], narrow: asked.cache_dtype !== data.dtype },
      mlps = Boolean(model.experts) || laid.layers.some(({ form }) => form.kind === "latent");
    const shared = (parallel) =>
      layoutsOf(gpus.count, parallel, mlps).map((layout) => ({
        ...{ layout, ...sharedModel(data, model, laid.layers, layout, sizes) },
      }));
    const all = shared(asked.parallel),
      possible = all.filter((one) => !one.refusal);
    if (possible.length) return possible.map((one) => answerOf(data, asked, gpus, laid, one));
    const why = { ...all[0].refusal, layout: nameOf(all[0].layout) };
    if (asked.parallel[0] === "tp") {
      const others = shared(null).filter((one) => !one.refusal && !one.layout.mlps);
      Object.assign(why, { key: "why.heads_tp", possible: others.map((one) => nameOf(one.layout)).join(", ") });
    }
    return [answerWith(data, laid, { why })];
  }

  function answerOf(data, asked, gpus, laid, shared) {
    const share = data.memory_share,
      sequence = shared.sequenceBytes(asked.context),
      weights = shared.weightBytes,
      room = gpus.memory * share - weights;
    let onOne = room > 0 ? Math.floor(room / sequence) : 0;
    if (onOne > 0 && onOne * sequence > room) onOne -= 1;
    const largest = onOne * shared.layout.groups,
      batch = asked.batch ?? largest;
    const answer = answerWith(data, laid, {
      layout: nameOf(shared.layout),
      groups: shared.layout.groups,
      token_bytes: shared.tokenBytes,
      sequence_bytes: sequence,
      weight_bytes: weights,
      parameters: shared.parameters,
      largest_batch: largest,
    });
    const why = { key: room > 0 ? "why.room" : "why.weights", weights, room, share, memory: gpus.memory, sequence };
    if (!largest) return { ...answer, why };
    if (batch > largest) return { ...answer, why: { key: "why.batch", largest, batch } };
    return { ...answer, fits: true, batch, ...timesOf(data, asked, gpus, shared, batch) };
  }

  function timesOf(data, asked, { device, name }, shared, batch) {
    const sizes = [batch, asked.new_tokens, asked.context];
    if (!device) return { expected_why: { key: "unknown.name" } };
    if (!device.flops_per_s) return { expected_why: { key: "unknown.peak", device: name, dtype: data.dtype } };
    const work = shared.step(...sizes),
      known = { flops: work.flops, traffic_bytes: work.bytes, bound_s: boundOf(device, work) };
    const expected = expectedOf(data, device, shared, sizes, asked.weights);
    if (expected.key) return { ...known, expected_why: expected };
    const { seconds, low, high, families } = expected;
    return { ...known, expected_s: seconds, expected_low_s: low, expected_high_s: high, expected_by: families };
  }

  function pricedAnswer(answer, asked, gpus, by, watts) {
    const seconds = by === null ? null : answer[`${by}_s`],
      price = asked.price ?? null;
    if (seconds === null || answer.batch === null) return answer;
    const rate = (answer.batch * asked.new_tokens) / seconds;
    return {
      ...answer,
      tokens_per_s: rate,
      joules_per_million: watts === null ? null : ((watts * gpus.count) / rate) * MILLION,
      cost_per_million: price === null ? null : ((price * gpus.count) / HOUR / rate) * MILLION,
    };
  }

  function orderedAnswers(answers, order) {
    const place = (answer) => {
      const variant = Number(answer.variant !== "own"),
        cost = answer.cost_per_million ?? answer.joules_per_million;
      if (!answer.fits) return [variant, 1, -(answer.largest_batch ?? 0)];
      const size = { fits: answer.largest_batch, fastest: answer.tokens_per_s, cheapest: cost }[order];
      return [variant, 0, size === null ? Infinity : order === "cheapest" ? size : -size];
    };
    const places = new Map(answers.map((answer) => [answer, place(answer)]));
    return [...answers].sort((a, b) => {
      const [first, second] = [places.get(a), places.get(b)];
      const at = first.findIndex((part, index) => part !== second[index]);
      return at < 0 ? 0 : first[at] < second[at] ? -1 : 1;
    });
  }

  // ---- a step of RL, as suite.theory.answers.step_memory
  function peakOf(data, model, label, asked, shards) {
    const completions = asked.group * asked.prompts,
      rank = asked.lora_rank ?? null,
      [, hasCritic, hasReference, inLoss] = label;
    const owners = ["policy", ...(hasCritic ? ["critic"] : []), ...(hasReference ? ["reference"] : [])];
    const sizes = {
      ...{ ...model, ...asked, completions, rank, read_len: asked.seq_len - 1 },
      ...{ completion_len: asked.seq_len - asked.prompt_len, is_deep: Number(model.layers > 1) },
      ...{ adds_up: Number(ceilDiv(completions, shards) > 1), has_critic: Number(hasCritic) },
      kl_in_loss: Number(inLoss),
    };
    const { static: fixed, moments } = data.moments[asked.precision][rank === null ? 0 : 1];
    const isHeld = (owner) => owner === "shared" || owners.includes(owner);
    const shares = { experience: ceilDiv(completions, shards) / completions, gathered: shards > 1 ? 0 : 1 };
    for (const kind of data.divided) shares[kind] = 1 / shards;
    const divided = (held) => {
      const parts = {};
      for (const [name, form] of Object.entries(held)) {
        const [owner, kind] = name.split("/"),
          size = isHeld(owner) ? filled(form, sizes) * (shares[kind] ?? 1) : 0;
        if (size) parts[name] = size;
      }
      return parts;
    };
    const always = divided(fixed);
    if (shards > 1)
      always["shared/gathered"] = data.computed[asked.precision] * Math.max(model.block, model.vocabulary * model.hidden);
    return moments
      .filter(([, owner, exists]) => isHeld(owner) && filled(exists, sizes))
      .map(([phase, , , held]) => ({ phase, parts: { ...always, ...divided(held) } }))
      .map((moment) => ({ ...moment, bytes: sum(Object.values(moment.parts), (size) => size) }))
      .reduce((most, moment) => (moment.bytes > most.bytes ? moment : most));
  }

  // Whether an algorithm's step fits, and those beside it, with the fields of suite.theory.answers.fit.Fit; or a refusal.
  function fitAnswers(data, question) {
    const asked = { ...data.step, ...question },
      known = Object.hasOwn(data.algorithms, asked.algorithm),
      found = modelOf(data, asked),
      gpus = gpusOf(data, asked.gpus);
    const wrong =
      (known ? null : { key: "refused.algorithm", algorithm: asked.algorithm }) ??
      (found.refusal ?? gpus.refusal ?? stepRefusal(data, asked, gpus));
    if (wrong) return { refusal: wrong };
    if (!found.model.rl) return { refusal: { key: "refused.dense", model: found.name } };
    const model = Object.fromEntries(data.rl_sizes.map((name, at) => [name, found.model.rl[at]])),
      names = [...new Set([asked.algorithm, ...data.beside])];
    return { model: found.name, gpus, answers: names.map((name) => fitOf(data, asked, gpus, model, name)) };
  }

  function stepRefusal(data, asked, { count }) {
    const { seq_len: seq, prompt_len: prompt, group, prompts } = asked,
      rank = asked.lora_rank ?? null;
    if (!data.shards.includes(count)) return { key: "refused.count", counts: data.shards.join(", "), count };
    if (!isCount(seq, 3)) return { key: "refused.seq_len" };
    if (!isCount(group) || !isCount(prompts)) return { key: "refused.completions" };
    if (group * prompts < count) return { key: "refused.few", group, prompts, count };
    if (!isCount(prompt) || prompt > seq - 2) return { key: "refused.prompt", most: seq - 2, got: prompt };
    return rank === null || isCount(rank) ? null : { key: "refused.lora", got: rank };
  }

  function fitOf(data, asked, gpus, model, name) {
    const label = data.algorithms[name],
      counts = data.shards.filter((shards) => shards <= asked.group * asked.prompts);
    const peaks = new Map(counts.map((shards) => [shards, peakOf(data, model, label, asked, shards)])),
      here = peaks.get(gpus.count),
      spare = gpus.memory - data.reserve_bytes - here.bytes;
    const sets = data.gigabytes
      .map((size) => [counts.find((shards) => peaks.get(shards).bytes <= size * 1e9 - data.reserve_bytes), size])
      .filter(([count]) => count !== undefined)
      .sort((a, b) => a[0] * a[1] - b[0] * b[1] || a[0] - b[0]);
    return {
      ...{ algorithm: name, label: label[0], fits: spare >= 0, peak_bytes: here.bytes, spare_bytes: spare },
      ...{ phase: here.phase, parts: here.parts, sets },
    };
  }

  // ---- reasons in words: `words` has a template a key, under "decide."
  // Three digits as Python's ".3g" has them: an exact half goes to the even digit.
  function general(value) {
    const [digits, power] = value.toExponential(40).split("e"),
      kept = digits.slice(0, 4);
    if (/^50*$/.test(digits.slice(4)) && Number(kept.at(-1)) % 2 === 0) return general(Number(`${kept}e${power}`));
    if (value !== 0 && Math.abs(value) < 1e-4) {
      const [mantissa, exponent] = value.toExponential(2).split("e");
      return `${Number(mantissa)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
    }
    return String(Number(value.toPrecision(3)));
  }

  function bytesOf(size) {
    const gib = size / 2 ** 30;
    return gib >= 1000 ? `${Math.round(gib).toLocaleString("en-US")} GiB` : `${general(gib)} GiB`;
  }

  const WRITTEN = {
    weights: bytesOf,
    room: bytesOf,
    memory: bytesOf,
    sequence: bytesOf,
    share: (value) => String(Math.round(100 * value)),
    largest: (value) => value.toLocaleString("en-US"),
  };

  function sayWhy(words, why) {
    return words[`decide.${why.key}`].replace(/\{(\w+)\}/g, (_, name) => {
      const value = why[name];
      if (name === "batch" && why.key === "why.batch") return value.toLocaleString("en-US");
      return name in WRITTEN ? WRITTEN[name](value) : String(value);
    });
  }

  return { chooseAnswers, fitAnswers, sayWhy, bytesOf };
})();
