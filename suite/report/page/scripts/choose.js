// The chooser's closed forms, as suite/theory/answers/choose.py and suite/theory/answers/fit.py have them, from the data of
// suite/report/decide/data.py. Pure functions: a test asks Python and them the same two hundred questions.
const { chooseAnswers, fitAnswers, sayWhy, bytesOf } = (() => {
  const ELEMENT = 2,
    SCALED = 128,
    SCALE = 4,
    STATE = 4,
    NEAR_PEAK = 0.5,
    MILLION = 1e6,
    HOUR = 3600;
  const sum = (items, of) => items.reduce((total, item) => total + of(item), 0);
  const ceilDiv = (a, b) => Math.ceil(a / b);

  // ---- rows of a cache; `narrow`: it is kept in eight bits
  const keptRows = (elements, more = {}) => ({ elements, width: null, every: 1, atMost: null, ...more });
  const quantised = (width) => width + SCALE * ceilDiv(width, SCALED);

  function rowBytes(rows, narrow) {
    return narrow && rows.width !== null
      ? (rows.elements / rows.width) * quantised(rows.width)
      : rows.elements * ELEMENT;
  }

  function bytesAt(rows, tokens, narrow) {
    const within = rows.atMost === null ? tokens : Math.min(tokens, rows.atMost);
    return rowBytes(rows, narrow) * Math.floor(within / rows.every);
  }

  const growth = (rows, narrow) => (rows.atMost === null ? rowBytes(rows, narrow) / rows.every : 0);

  // ---- query-key pairs of a pass, whose last query sees every token
  const pairsOf = (pass) => (pass.query * (2 * pass.seq - pass.query + 1)) / 2;
  const triangle = (count) => (Math.max(0, count) * (Math.max(0, count) + 1)) / 2;
  const between = (total, pass) => total(pass.seq) - total(pass.seq - pass.query);

  function cappedPairs(pass, cap) {
    if (cap === null) return pairsOf(pass);
    return pairsOf(pass) - (triangle(pass.seq - cap) - triangle(pass.seq - pass.query - cap));
  }

  function chunkedPairs(pass, chunk) {
    return between((count) => Math.floor(count / chunk) * triangle(chunk) + triangle(count % chunk), pass);
  }

  function compressedPairs(pass, every, cap = null) {
    const uncapped = (count) => {
      const blocks = Math.floor(count / every);
      return (every * blocks * (blocks - 1)) / 2 + blocks * ((count % every) + 1);
    };
    return between((count) => {
      if (cap === null || count < cap * every) return uncapped(count);
      return uncapped(cap * every - 1) + cap * (count - cap * every + 1);
    }, pass);
  }

  function attend(pass, { heads, score, value, pairs, row, rows }) {
    const around = pass.batch * pass.query * heads * (score + value);
    return {
      flops: 2 * pass.batch * heads * pairs * (score + value),
      bytes: pass.batch * rows * row + around * ELEMENT,
    };
  }

  const add = (a, b) => ({ flops: a.flops + b.flops, bytes: a.bytes + b.bytes });
  const NO_WORK = { flops: 0, bytes: 0 };
  const rowsSeen = (pass, window) => (window === null ? pass.seq : Math.min(pass.seq, window + pass.query - 1));

  // ---- the indexer of sparse layers
  function indexerOf(given) {
    if (!given) return null;
    const one = { every: 1, shared: false, weighted: true, ...given };
    const keys = keptRows(one.head_dim, { every: one.every, width: one.head_dim });
    const waiting = keptRows(2 * one.head_dim, { atMost: one.every - 1 });
    return {
      ...one,
      kept: one.shared ? [] : one.every > 1 ? [keys, waiting] : [keys],
      matrix: (hidden, rank) => {
        if (one.shared) return 0;
        const made = one.head_dim * (one.every > 1 ? 2 : 1);
        return (rank || hidden) * one.heads * one.head_dim + hidden * (made + (one.weighted ? one.heads : 0));
      },
      vector: one.shared ? 0 : 2 * one.head_dim + (one.every > 1 ? one.every * one.head_dim : 0),
      work: (pass) => {
        if (one.shared) return NO_WORK;
        const queries = pass.batch * pass.query * one.heads * one.head_dim;
        return {
          flops: 2 * pass.batch * one.heads * one.head_dim * compressedPairs(pass, one.every),
          bytes: pass.batch * Math.floor(pass.seq / one.every) * rowBytes(keys, pass.narrow) + queries * ELEMENT,
        };
      },
    };
  }

  // ---- kinds of layers: parameters, cache, work of the kernel, and what a calibration may know of it
  function grouped(layer, hidden) {
    const { num_heads: heads, num_kv_heads: groups, head_dim: score, v_head_dim: value } = layer;
    const indexer = indexerOf(layer.indexer),
      window = layer.window ?? null;
    const widths = layer.keys_are_values ? [score] : [score, value];
    const rows = widths.map((width) => keptRows(groups * width, { width }));
    const cached = sum(rows, (one) => one.elements),
      queries = heads * score,
      outputs = heads * value;
    const gate = { element: outputs, head: heads }[layer.output_gate] ?? 0;
    const own = layer.kind === "shared" ? 0 : cached;
    const norms = { true: 2 * score, all_heads: queries + groups * score }[layer.qk_norm] ?? 0;
    const biases = (layer.qkv_bias ? queries + cached : 0) + (layer.o_bias ? hidden : 0);
    const kept = { full: [...rows, ...(indexer?.kept ?? [])], shared: [] }[layer.kind];
    return {
      kept: kept ?? rows.map((one) => ({ ...one, atMost: window })),
      matrix: hidden * (queries + own + outputs + gate) + (indexer ? indexer.matrix(hidden, null) : 0),
      vector: norms + biases + (layer.sinks ? heads : 0) + (indexer?.vector ?? 0),
      kernel: (pass) => {
        const sizes = { heads, score, value, row: sum(rows, (one) => rowBytes(one, pass.narrow)) };
        if (indexer) {
          const seen = Math.min(pass.seq, indexer.top_k * pass.query);
          return add(
            attend(pass, { ...sizes, pairs: cappedPairs(pass, indexer.top_k), rows: seen }),
            indexer.work(pass),
          );
        }
        const pairs = layer.chunked ? chunkedPairs(pass, window) : cappedPairs(pass, window);
        return attend(pass, { ...sizes, pairs, rows: rowsSeen(pass, window) });
      },
      plain:
        indexer || score !== value || layer.keys_are_values
          ? null
          : { kernel: "gqa", heads, groups, score, value, window },
    };
  }

  function latent(layer, hidden) {
    const heads = layer.num_heads,
      [rank, width, plain, rotary, value] = layer.latent;
    const indexer = indexerOf(layer.indexer),
      window = layer.window ?? null;
    const bound = indexer ? indexer.top_k : window;
    const rows = [keptRows(width, { width, atMost: window }), keptRows(rotary, { atMost: window })];
    const query = plain + rotary;
    const asked = rank ? rank * (hidden + heads * query) : hidden * heads * query;
    const gate = { element: heads * value, head: heads }[layer.output_gate] ?? 0;
    const projections = asked + hidden * (width + rotary) + heads * value * hidden + width * heads * (plain + value);
    const sizes = { heads, score: width + rotary, value: width };
    return {
      kept: [...rows, ...(indexer?.kept ?? [])],
      matrix: projections + hidden * gate + (indexer ? indexer.matrix(hidden, rank) : 0),
      vector: width + (rank || 0) + (layer.sinks ? heads : 0) + (indexer?.vector ?? 0),
      kernel: (pass) => {
        const row = sum(rows, (one) => rowBytes(one, pass.narrow));
        let seen = rowsSeen(pass, window);
        if (indexer) seen = Math.min(seen, indexer.top_k * pass.query);
        const core = attend(pass, { ...sizes, pairs: cappedPairs(pass, bound), row, rows: seen });
        return indexer ? add(core, indexer.work(pass)) : core;
      },
      plain: indexer ? null : { kernel: "mla", heads, groups: 1, score: width + rotary, value: width, window },
    };
  }

  function compressed(layer, hidden) {
    const { num_heads: heads, head_dim: width, window, q_lora_rank: rank } = layer,
      every = layer.every ?? null;
    const indexer = indexerOf(layer.indexer),
      times = layer.overlaps ? 2 : 1;
    const makers = every === null ? [] : [width, ...(indexer ? [indexer.head_dim] : [])];
    const row = keptRows(width, { width }),
      waiting = sum(makers, (one) => 2 * times * one);
    const kept = [{ ...row, atMost: window }];
    if (every !== null) {
      kept.push(...makers.map((one) => keptRows(one, { every, width: one })), keptRows(waiting, { atMost: every - 1 }));
      if (layer.overlaps) kept.push(keptRows(Math.floor(waiting / 2), { atMost: every }));
    }
    const outputs = heads * width;
    const picks = indexer ? rank * indexer.heads * indexer.head_dim + hidden * indexer.heads : 0;
    const out = layer.o_lora_rank * (outputs + layer.o_groups * hidden);
    return {
      kept,
      matrix: rank * (hidden + outputs) + hidden * width + out + hidden * waiting + picks,
      vector: rank + width + sum(makers, (one) => one) + sum(makers, (one) => (every ?? 0) * times * one) + heads,
      kernel: (pass) => {
        let pairs = cappedPairs(pass, window),
          rows = rowsSeen(pass, window);
        if (every !== null) {
          const made = Math.floor(pass.seq / every),
            picked = indexer ? indexer.top_k : null;
          pairs += compressedPairs(pass, every, picked);
          rows += picked === null ? made : Math.min(made, picked * pass.query);
        }
        const core = attend(pass, { heads, score: width, value: width, pairs, rows, row: rowBytes(row, pass.narrow) });
        return indexer ? add(core, indexer.work(pass)) : core;
      },
      plain: null,
    };
  }

  function recurrent(layer, hidden) {
    const { key_heads: keyHeads, value_heads: heads, key_dim: key, value_dim: value, cell } = layer;
    const convolved = 2 * keyHeads * key + heads * value,
      outputs = heads * value,
      cells = heads * key * value;
    const factored = (width, rank) => (rank ? rank * (hidden + width) : hidden * width);
    const matrix = {
      mamba2: () => hidden * (convolved + outputs + heads + outputs),
      gated_delta: () => hidden * (convolved + outputs + 2 * heads + outputs),
      kda: () =>
        hidden * (convolved + heads + outputs) +
        factored(keyHeads * key, layer.decay_rank) +
        factored(outputs, layer.gate_rank),
    }[cell]();
    const taps = convolved * layer.taps;
    const vector = {
      mamba2: taps + convolved + 3 * heads + outputs,
      gated_delta: taps + 2 * heads + value,
      kda: taps + heads + keyHeads * key + value,
    }[cell];
    return {
      kept: [keptRows(convolved, { atMost: layer.taps - 1 })],
      state: STATE * cells,
      matrix,
      vector,
      kernel: (pass) => ({
        flops: pass.batch * pass.query * (cell === "mamba2" ? 5 : 7) * cells,
        bytes: pass.batch * pass.query * (convolved + outputs) * ELEMENT + 2 * pass.batch * STATE * cells,
      }),
      plain: null,
    };
  }

  const blank = () => ({ kept: [], matrix: 0, vector: 0, kernel: () => NO_WORK, plain: null });
  const KINDS = { full: grouped, window: grouped, shared: grouped, latent, compressed, state: recurrent, mlp: blank };

  function shapeOf(layer, hidden) {
    return {
      state: 0,
      ...KINDS[layer.kind](layer, hidden),
      kind: layer.kind,
      count: layer.count,
      indexer: Boolean(layer.indexer),
    };
  }

  // One device's share of the heads; a refusal where they do not divide.
  const SHARED = { compressed: ["num_heads", "o_groups"], state: ["key_heads", "value_heads"], mlp: [] };

  function sharedByHeads(layer, devices) {
    const shared = { ...layer },
      groups = layer.num_kv_heads ?? 1;
    const names = [...(SHARED[layer.kind] ?? ["num_heads"]), ...(devices % groups ? ["num_kv_heads"] : [])];
    for (const name of names) {
      if (layer[name] % devices) return { refusal: { key: "why.heads", name, count: layer[name], devices } };
      shared[name] = layer[name] / devices;
    }
    if (layer.num_kv_heads && devices % groups === 0) shared.num_kv_heads = 1;
    return { shared };
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

  const hasAttentionDp = (model, layers) => Boolean(model.experts) || layers.some((layer) => layer.kind === "latent");

  // ---- a model on several devices, as suite.theory.answers.capacity.SharedModel
  function sharedModel(model, layers, layout, { weight, narrow }) {
    if (layout.context) {
      const odd = layers.find((layer) => !["full", "latent", "mlp"].includes(layer.kind) || layer.indexer);
      if (odd) return { refusal: { key: "why.dcp", kind: odd.kind } };
    }
    const parts = layers.map((layer) => sharedByHeads(layer, layout.tp));
    const refused = parts.find((part) => part.refusal);
    if (refused) return refused;
    const whole = layers.map((layer) => shapeOf(layer, model.hidden));
    const byHeads = parts.map((part) => shapeOf(part.shared, model.hidden));
    const ofKernels = layout.context ? whole : byHeads;
    const attention = (of) => sum(of, (layer) => layer.count * (layer.matrix + layer.vector));
    const { mlps, norms, rest, table } = model,
      idle = model.idle ?? 0,
      mlpDevices = layout.tp * (layout.mlps ? layout.groups : 1);
    const unrouted = model.experts ? 1 - model.experts[1] / model.experts[0] : 0,
      experts = idle ? idle / unrouted : 0;

    const passOf = (batch, query, seq) => ({
      batch: ceilDiv(batch, layout.groups),
      query,
      seq: layout.context ? ceilDiv(seq, layout.tp) : seq,
      narrow,
    });

    // Matrix products of a step: of attention, of MLPs and head, and of experts.
    function products(batch, query, seq, around) {
      const here = passOf(batch, query, seq).batch * query,
        tokens = layout.mlps ? batch * query : here;
      const matrices = sum(byHeads, (layer) => layer.count * layer.matrix),
        vectors = sum(byHeads, (layer) => layer.count * layer.vector);
      const dense = (mlps - experts + table) / mlpDevices,
        met = (experts - idle) / mlpDevices,
        touched = (experts - experts * unrouted ** tokens) / mlpDevices;
      const count = sum(byHeads, (layer) => layer.count * (around?.[layer.kind === "latent" ? "mla" : "gqa"] ?? 0));
      const part = (kind, rows, number, multiplied, read) => ({
        kind,
        rows,
        count: number,
        work: { flops: 2 * rows * multiplied, bytes: weight * read },
      });
      return [
        part("matrices", here, count, matrices, matrices + vectors),
        part("matrices", tokens, 2 * model.blocks + 1, dense, dense),
        ...(experts ? [part("experts", tokens, model.experts[2], met, touched)] : []),
      ];
    }

    return {
      passOf,
      products,
      kernels: ofKernels,
      parameters: rest + mlps + norms + attention(whole),
      weightBytes:
        weight *
        (attention(byHeads) + norms + table * (1 / layout.tp - 1 / mlpDevices) + (rest + mlps) / mlpDevices),
      tokenBytes: sum(whole, (layer) => layer.count * sum(layer.kept, (rows) => growth(rows, narrow))),
      sequenceBytes: (tokens) => {
        const here = layout.context ? ceilDiv(tokens, layout.tp) : tokens;
        return sum(
          ofKernels,
          (layer) => layer.count * (sum(layer.kept, (rows) => bytesAt(rows, here, narrow)) + layer.state),
        );
      },
      step: (batch, query, seq) => {
        const pass = passOf(batch, query, seq);
        return ofKernels.reduce(
          (work, layer) => {
            const one = layer.kernel(pass);
            return add(work, { flops: one.flops * layer.count, bytes: one.bytes * layer.count });
          },
          products(batch, query, seq).map((part) => part.work).reduce(add),
        );
      },
    };
  }

  const boundOf = (device, work) => Math.max(work.flops / device.flops_per_s, work.bytes / device.bytes_per_s);

  // ---- times expected by a device's calibration: seconds and both ends, or the reason why there are none
  function expectedOf(data, device, model, batch, query, seq, { narrow, weights }) {
    const known = device.calibration;
    if (!known) return { key: "unknown.device" };
    const times = [];
    for (const layer of model.kernels) {
      if (layer.kind === "mlp") continue;
      if (!layer.plain) return { key: layer.indexer ? "unknown.indexed" : "unknown.kind", kind: layer.kind };
      const pass = model.passOf(batch, query, seq),
        { window } = layer.plain;
      if (window !== null) pass.seq = Math.min(seq, window + query - 1);
      const found = expectedKernel(data, device, layer.plain, pass, narrow);
      if (found.key) return found;
      times.push({ ...found, times: layer.count });
    }
    for (const { kind, rows, count, work } of model.products(batch, query, seq, data.products_around)) {
      const fit = known.products.findLast((row) => row[0] === kind && row[1] === weights && row[2] <= rows);
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

  function expectedKernel(data, device, one, pass, narrow) {
    if (narrow) return { key: "unknown.dtype", dtype: data.dtype };
    const named = { kernel: one.kernel.toUpperCase() };
    const ofKernel = device.calibration.fits.filter((fit) => fit[0] === one.kernel);
    if (!ofKernel.length) return { key: "unknown.kernel", ...named };
    const alike = ofKernel.filter((fit) => fit[3] === one.score && fit[4] === one.value);
    if (!alike.length) return { key: "unknown.widths", ...named, score: one.score, value: one.value };
    if (pass.seq < data.fewest_tokens) return { key: "unknown.tokens", tokens: data.fewest_tokens };
    const [, , , , , floor, memoryShare, share, family, reach] = nearest(alike, one);
    const width = one.kernel === "mla" ? one.score : one.score + one.value;
    const cache = pass.batch * pass.seq * one.groups * width * ELEMENT;
    const flops = pass.batch * pairsOf(pass) * 2 * one.heads * (one.score + one.value);
    const memory = cache / device.bytes_per_s,
      arithmetic = flops / device.flops_per_s;
    if (Math.max(memory, arithmetic) < data.least_bound) return { key: "unknown.short", least: 1e6 * data.least_bound };
    if (share === null && arithmetic / NEAR_PEAK > memory / memoryShare) return { key: "unknown.arithmetic" };
    const slower = share === null ? memory / memoryShare : Math.max(memory / memoryShare, arithmetic / share);
    const around = pass.batch * pass.query * one.heads * (one.score + one.value) * ELEMENT;
    return { ...within(floor + slower, boundOf(device, { flops, bytes: cache + around }), reach), family };
  }

  function nearest(fits, one) {
    const apart = ([, heads, groups]) => {
      const ofHeads = Math.log(heads / one.heads),
        ofGroups = Math.log(groups / one.groups);
      return [ofHeads - ofGroups, ofHeads, ofGroups].map((size) => Math.round(Math.abs(size) * 1e9));
    };
    const before = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
    return fits.reduce((best, fit) => (before(apart(fit), apart(best)) < 0 ? fit : best));
  }

  // ---- the model that is asked, and the variants laid over it
  function named(text, full, short) {
    if (Object.hasOwn(full, text)) return text;
    return Object.hasOwn(short, text) ? short[text] : null;
  }

  function modelOf(data, question) {
    if (!question.sizes) {
      const name = named(question.model, data.models, data.short_models);
      return name ? { name, model: data.models[name] } : { refusal: { key: "refused.model", model: question.model } };
    }
    const sizes = question.sizes,
      wrong = data.sizes.find((name) => !(Number.isInteger(sizes[name]) && sizes[name] > 0));
    if (wrong) return { refusal: { key: "refused.size", name: wrong } };
    const { hidden_size: hidden, num_layers: count, num_heads: heads, num_kv_heads: groups, head_dim: width } = sizes;
    if (heads % groups) return { refusal: { key: "refused.groups", heads, groups } };
    if (width % 4) return { refusal: { key: "refused.width", width } };
    const table = sizes.vocab_size * hidden,
      inner = sizes.intermediate_size;
    const divisors = [1, 2, 3, 4, 5, 6, 7, 8].filter((size) => heads % size === 0 && size < Math.max(2, heads));
    const ofHeads = [heads, groups, heads].map((number) => number * width);
    const block = hidden * width * (2 * heads + 2 * groups) + 3 * hidden * inner + 2 * hidden;
    const maps = 2 * (hidden + heads * width) + 2 * (hidden + groups * width) + 2 * hidden + 3 * inner;
    const model = {
      hidden,
      heads,
      width,
      table,
      groups: groups === heads ? Math.max(...divisors) : groups,
      like: groups === 1 ? "mqa" : groups === heads ? "mha" : "gqa",
      kv_heads: groups,
      latent: [null, 4 * width, width, width / 2, width],
      mlps: count * 3 * hidden * inner,
      norms: (2 * count + 1) * hidden,
      blocks: count,
      rest: 2 * table,
      layers: [{ kind: "full", count, num_heads: heads, num_kv_heads: groups, head_dim: width, v_head_dim: width }],
      // In the order of data.rl_sizes.
      rl: [...[hidden, count, inner, sizes.vocab_size, 0, block], ...ofHeads, width, 2 * groups * width, maps],
    };
    return { name: "own", model };
  }

  function variantsOf(model) {
    const blocks = sum(model.layers, (layer) => (layer.kind === "mlp" ? layer.count : 0));
    const count = sum(model.layers, (layer) => layer.count) - blocks;
    const rest = blocks ? [{ kind: "mlp", count: blocks }] : [];
    const own = { variant: "own", kv_heads: model.kv_heads ?? null, like: model.like ?? null, layers: model.layers };
    const found = [own],
      seen = new Set([own.kv_heads]);
    const sizes = { kind: "full", count, num_heads: model.heads, head_dim: model.width, v_head_dim: model.width };
    for (const [variant, groups] of Object.entries({ mha: model.heads, gqa: model.groups, mqa: 1 })) {
      if (seen.has(groups)) continue;
      seen.add(groups);
      found.push({ variant, kv_heads: groups, like: null, layers: [{ ...sizes, num_kv_heads: groups }, ...rest] });
    }
    if (own.like !== "mla") {
      const layer = { kind: "latent", count, num_heads: model.heads, latent: model.latent };
      found.push({ variant: "mla", kv_heads: null, like: null, layers: [layer, ...rest] });
    }
    return found;
  }

  function gpusOf(data, text) {
    const found = /^(\d+)x(.+)$/.exec(text ?? "");
    if (!found || Number(found[1]) < 1) return { refusal: { key: "refused.gpus", gpus: String(text) } };
    const count = Number(found[1]),
      one = found[2];
    if (/^\d+(\.\d+)?$/.test(one) && Number(one) > 0)
      return { count, memory: Math.floor(Number(one) * 1e9), device: null };
    const name = named(one, data.devices, data.short_devices);
    if (!name) return { refusal: { key: "refused.gpus", gpus: String(text) } };
    return { count, memory: data.devices[name].memory, device: data.devices[name], name };
  }

  // The answers to a question with the fields of suite.theory.answers.choose.Question: the model as it is, then the variants,
  // the best by `order` first; or a refusal.
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
      const priced = answers.map((answer) => pricedAnswer(answer, asked, gpus, by, watts));
      return orderedAnswers(priced, order);
    };
    const layouts = variantsOf(found.model).map((laid) =>
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

  function refusalOf(asked, gpus, parallel) {
    const { context, new_tokens: query, batch } = asked,
      devices = gpus.count;
    if (parallel === undefined) {
      const sizes = divisorsOf(devices).reverse().join("|");
      return { key: "refused.parallel", sizes, devices, got: asked.parallel };
    }
    if (!Number.isInteger(context) || context < 2) return { key: "refused.context" };
    if (!Number.isInteger(query) || query < 1 || query >= context)
      return { key: "refused.new_tokens", most: context - 1, got: query };
    if (parallel?.[0] === "dcp" && devices > 1 && ceilDiv(context, devices) <= query)
      return { key: "refused.dcp", context, devices, query };
    if (batch !== null && (!Number.isInteger(batch) || batch < 1)) return { key: "refused.batch" };
    for (const [name, least] of Object.entries({ price: 0, watts: Number.MIN_VALUE })) {
      const got = asked[name] ?? null;
      if (got !== null && !(got >= least)) return { key: `refused.${name}`, got };
    }
    return null;
  }

  const emptyAnswer = (data, { variant, kv_heads, like }, known) => ({
    ...Object.fromEntries(data.answer.map((name) => [name, null])),
    ...{ variant, kv_heads, like, fits: false, ...known },
  });

  // Every possible layout of one variant; else a single answer that says why there is none.
  function answersOf(data, asked, gpus, model, laid) {
    const sizes = { weight: data.weights[asked.weights], narrow: asked.cache_dtype !== data.dtype };
    const shared = (parallel) =>
      layoutsOf(gpus.count, parallel, hasAttentionDp(model, laid.layers)).map((layout) => ({
        layout,
        model: sharedModel(model, laid.layers, layout, sizes),
      }));
    const possible = (all) => all.filter((one) => !one.model.refusal);
    const all = shared(asked.parallel);
    if (possible(all).length)
      return possible(all).map((one) => answerOf(data, asked, gpus, laid, one.layout, one.model, sizes.narrow));
    const why = { ...all[0].model.refusal, layout: nameOf(all[0].layout) };
    if (asked.parallel[0] === "tp") {
      const sizes = possible(shared(null)).filter((one) => !one.layout.mlps);
      Object.assign(why, { key: "why.heads_tp", possible: sizes.map((one) => nameOf(one.layout)).join(", ") });
    }
    return [emptyAnswer(data, laid, { why })];
  }

  function answerOf(data, asked, gpus, laid, layout, shared, narrow) {
    const share = data.memory_share;
    const sequence = shared.sequenceBytes(asked.context),
      weights = shared.weightBytes;
    const room = gpus.memory * share - weights;
    let onOne = room > 0 ? Math.floor(room / sequence) : 0;
    if (onOne > 0 && onOne * sequence > room) onOne -= 1;
    const largest = onOne * layout.groups;
    const answer = emptyAnswer(data, laid, {
      layout: nameOf(layout),
      groups: layout.groups,
      token_bytes: shared.tokenBytes,
      sequence_bytes: sequence,
      weight_bytes: weights,
      parameters: shared.parameters,
      largest_batch: largest,
    });
    if (!largest) {
      return {
        ...answer,
        why: { key: room > 0 ? "why.room" : "why.weights", weights, room, share, memory: gpus.memory, sequence },
      };
    }
    const batch = asked.batch ?? largest;
    if (batch > largest) return { ...answer, why: { key: "why.batch", largest, batch } };
    return { ...answer, fits: true, batch, ...timesOf(data, asked, gpus, shared, batch, narrow) };
  }

  function timesOf(data, asked, gpus, shared, batch, narrow) {
    const sizes = [batch, asked.new_tokens, asked.context];
    if (!gpus.device) return { expected_why: { key: "unknown.name" } };
    if (!gpus.device.flops_per_s)
      return { expected_why: { key: "unknown.peak", device: gpus.name, dtype: data.dtype } };
    const work = shared.step(...sizes);
    const found = { flops: work.flops, traffic_bytes: work.bytes, bound_s: boundOf(gpus.device, work) };
    const expected = expectedOf(data, gpus.device, shared, ...sizes, { narrow, weights: asked.weights });
    if (expected.key) return { ...found, expected_why: expected };
    const { seconds, low, high, families } = expected;
    return { ...found, expected_s: seconds, expected_low_s: low, expected_high_s: high, expected_by: families };
  }

  function pricedAnswer(answer, asked, gpus, by, watts) {
    const seconds = by === null ? null : answer[`${by}_s`];
    if (seconds === null || answer.batch === null) return answer;
    const rate = (answer.batch * asked.new_tokens) / seconds,
      price = asked.price ?? null;
    return {
      ...answer,
      tokens_per_s: rate,
      joules_per_million: watts === null ? null : ((watts * gpus.count) / rate) * MILLION,
      cost_per_million: price === null ? null : ((price * gpus.count) / HOUR / rate) * MILLION,
    };
  }

  function orderedAnswers(answers, order) {
    const place = (answer) => {
      const variant = Number(answer.variant !== "own");
      if (!answer.fits) return [variant, 1, -(answer.largest_batch ?? 0)];
      const cost = answer.cost_per_million ?? answer.joules_per_million;
      const size = { fits: answer.largest_batch, fastest: answer.tokens_per_s, cheapest: cost }[order];
      return [variant, 0, size === null ? Infinity : order === "cheapest" ? size : -size];
    };
    const before = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    return [...answers].sort((a, b) => {
      const [first, second] = [place(a), place(b)];
      return first[0] - second[0] || first[1] - second[1] || before(first[2], second[2]);
    });
  }

  // ---- a step of RL, as suite.theory.answers.step_memory
  const COMPUTED = { bf16: 2, mixed: 2, float32: 4 },
    TRAINED = { bf16: 2, mixed: 4, float32: 4 };
  const DIVIDED = ["parameters", "gradients", "optimiser"];

  function rlModel(data, rl) {
    const sizes = Object.fromEntries(data.rl_sizes.map((name, at) => [name, rl[at]]));
    const table = sizes.vocabulary * sizes.hidden,
      trunk = table + sizes.layers * sizes.block + sizes.hidden;
    return { ...sizes, table, trunk, parameters: trunk + (sizes.tied ? 0 : table) };
  }

  function stepOf(model, [, hasCritic, hasReference, inLoss], asked, shards) {
    const completions = asked.group * asked.prompts,
      { seq_len: seq, prompt_len: prompt, precision } = asked;
    return {
      ...{ model, hasCritic, hasReference, inLoss, shards, seq, prompt, precision, completions },
      completion: seq - prompt,
      rank: asked.lora_rank ?? null,
      computed: COMPUTED[precision],
      trained: TRAINED[precision],
      addsUp: ceilDiv(completions, shards) > 1,
    };
  }

  function wholeOf(step, owner) {
    return owner === "policy" ? step.model.parameters : step.model.trunk + step.model.hidden;
  }

  function trainedCount(step, owner) {
    return step.rank === null ? wholeOf(step, owner) : step.rank * step.model.layers * step.model.adapted;
  }

  function staticParts(step) {
    const { model, computed, trained, rank } = step,
      held = {};
    for (const owner of step.hasCritic ? ["policy", "critic"] : ["policy"]) {
      const count = trainedCount(step, owner);
      held[`${owner}/parameters`] = trained * count + (rank === null ? 0 : computed * wholeOf(step, owner));
      held[`${owner}/optimiser`] = 2 * trained * count;
      held[`${owner}/other`] = step.seq * model.angles * (rank ? computed : trained);
    }
    if (step.hasReference) {
      held["reference/parameters"] = rank ? 0 : computed * model.parameters;
      held["reference/other"] = step.seq * model.angles * computed;
    }
    const numbers = 5 + Number(step.inLoss) + 2 * Number(step.hasCritic);
    held["shared/experience"] = step.completions * (4 * numbers * step.completion + 8 * step.prompt);
    return held;
  }

  function updatesOf(step, owner) {
    const { model, computed, trained, precision, addsUp } = step,
      all = step.rank === null,
      isPolicy = owner === "policy";
    const gradients = trained * trainedCount(step, owner),
      casts = precision === "mixed" && all;
    const stream = all ? trained : computed,
      seen = step.seq - 1,
      scored = step.completion;
    const states = scored * model.hidden,
      inputs = model.layers * seen * model.hidden * stream;
    const tail = states * (stream === 2 ? (all ? 10 : 6) : 8),
      table = trained * model.table,
      made = [];
    const moment = (ofGradients, activations, { logits = 0, gathered = 0 } = {}) =>
      made.push({
        [`${owner}/gradients`]: ofGradients,
        [`${owner}/activations`]: activations,
        [`${owner}/logits`]: logits,
        [`${owner}/gathered`]: gathered,
      });
    const before = addsUp ? gradients : 0;
    if (isPolicy) {
      const logits = scored * model.vocabulary * (precision === "bf16" ? 2 : 4);
      const narrowed = casts ? 2 * states : 0,
        head = casts ? 2 * model.table : 0;
      moment(before, inputs + tail, { logits: 3 * logits + narrowed, gathered: head });
      if (all) {
        const becomes = addsUp || model.tied ? 0 : table;
        const ofHead = table - becomes + head + states * (casts ? stream : computed);
        moment(before + becomes, inputs + tail + ofHead, { logits: casts ? 0 : logits });
      }
    }
    if (all) moment(gradients, (isPolicy && model.tied ? 2 * table : 0) + (addsUp ? table : 0) + states * computed);
    const waits = isPolicy && model.tied && all ? table : 0;
    for (const layer of new Set([model.layers - 1, Math.max(0, model.layers - 2), 0])) {
      const rows = layer === model.layers - 1 ? scored : seen;
      const ofBlock = waits + blockOf(step, seen, rows) + (layer + 1) * seen * model.hidden * stream;
      let kept = before;
      if (!addsUp && all)
        kept = trained * (model.layers - 1 - layer) * model.block + (isPolicy && !model.tied ? table : 0);
      moment(kept, ofBlock + rows * model.inner * computed * (casts ? 4 : 6), {
        gathered: casts ? 2 * model.block : 0,
      });
      if (!all) continue;
      const matrix = model.inner * model.hidden;
      if (addsUp) {
        moment(kept, ofBlock + 4 * trained * matrix);
      } else {
        kept += trained * matrix;
        moment(kept, ofBlock + 2 * trained * matrix + (casts ? 2 * matrix : 0));
        moment(kept + 2 * trained * matrix, ofBlock + 2 * trained * matrix);
      }
    }
    return made;
  }

  function blockOf(step, seen, rows) {
    const { model, precision } = step,
      all = step.rank === null,
      { hidden, queries, outputs, keys } = model;
    const attended = queries + outputs + 2 * keys,
      angles = 4 * model.angles * step.seq;
    if (precision === "float32") return 4 * (seen * (hidden + attended) + angles + rows * 4 * hidden);
    if (precision === "mixed" && all) {
      return seen * (6 * hidden + 6 * queries + 2 * outputs + 10 * keys) + 4 * angles + rows * 22 * hidden;
    }
    const [norm, second] = all ? [10, 14] : [6, 10];
    return seen * (norm * hidden + 2 * attended) + 2 * angles + rows * second * hidden;
  }

  function momentsOf(step) {
    const { model, computed } = step,
      fixed = staticParts(step),
      moments = [];
    for (const owner of step.hasCritic ? ["policy", "critic"] : ["policy"]) {
      moments.push(...updatesOf(step, owner).map((held) => ["update", { ...fixed, ...held }]));
    }
    if (step.hasReference)
      moments.push(["score", { ...fixed, "reference/logits": 2 * step.completion * model.vocabulary * computed }]);
    const prompt = step.prompt * computed * (4 * model.inner + 4 * model.hidden);
    const cache = model.layers * model.cached * (step.seq + step.prompt) * computed;
    moments.push(["rollout", { ...fixed, "policy/kv_cache": cache, "policy/activations": prompt }]);
    return moments;
  }

  function dividedParts(step, held) {
    const parts = {};
    const ofRows = ceilDiv(step.completions, step.shards) / step.completions;
    for (const [label, size] of Object.entries(held)) {
      const kind = label.split("/")[1];
      let share = DIVIDED.includes(kind) ? 1 / step.shards : kind === "experience" ? ofRows : 1;
      if (kind === "gathered" && step.shards > 1) share = 0;
      if (size * share) parts[label] = size * share;
    }
    if (step.shards > 1) parts["shared/gathered"] = step.computed * Math.max(step.model.block, step.model.table);
    return parts;
  }

  const totalOf = (parts) => sum(Object.values(parts), (size) => size);

  function peakOf(step) {
    return momentsOf(step)
      .map(([phase, held]) => ({ phase, parts: dividedParts(step, held) }))
      .map((one) => ({ ...one, bytes: totalOf(one.parts) }))
      .reduce((most, one) => (one.bytes > most.bytes ? one : most));
  }

  // Whether an algorithm's step fits, and those beside it, with the fields of suite.theory.answers.fit.Fit; or a refusal.
  function fitAnswers(data, question) {
    const asked = { ...data.step, ...question };
    const found = modelOf(data, asked),
      gpus = gpusOf(data, asked.gpus);
    const wrong =
      (Object.hasOwn(data.algorithms, asked.algorithm)
        ? null
        : { key: "refused.algorithm", algorithm: asked.algorithm }) ??
      found.refusal ??
      gpus.refusal ??
      stepRefusal(data, asked, gpus);
    if (wrong) return { refusal: wrong };
    if (!found.model.rl) return { refusal: { key: "refused.dense", model: found.name } };
    const model = rlModel(data, found.model.rl),
      names = new Set([asked.algorithm, ...data.beside]);
    return { model: found.name, gpus, answers: [...names].map((name) => fitOf(data, asked, gpus, model, name)) };
  }

  function stepRefusal(data, asked, gpus) {
    const { seq_len: seq, prompt_len: prompt, group, prompts } = asked;
    if (!data.shards.includes(gpus.count))
      return { key: "refused.count", counts: data.shards.join(", "), count: gpus.count };
    if (!Number.isInteger(seq) || seq < 3) return { key: "refused.seq_len" };
    if (![group, prompts].every((size) => Number.isInteger(size) && size > 0)) return { key: "refused.completions" };
    if (group * prompts < gpus.count) return { key: "refused.few", group, prompts, count: gpus.count };
    if (!Number.isInteger(prompt) || prompt < 1 || prompt > seq - 2)
      return { key: "refused.prompt", most: seq - 2, got: prompt };
    const rank = asked.lora_rank ?? null;
    if (rank !== null && !(Number.isInteger(rank) && rank > 0)) return { key: "refused.lora", got: rank };
    return null;
  }

  function fitOf(data, asked, gpus, model, name) {
    const algorithm = data.algorithms[name],
      counts = data.shards.filter((shards) => shards <= asked.group * asked.prompts);
    const peaks = new Map(counts.map((shards) => [shards, peakOf(stepOf(model, algorithm, asked, shards))]));
    const here = peaks.get(gpus.count),
      spare = gpus.memory - data.reserve_bytes - here.bytes;
    const sets = data.gigabytes
      .map((size) => [counts.find((shards) => peaks.get(shards).bytes <= size * 1e9 - data.reserve_bytes), size])
      .filter(([count]) => count !== undefined)
      .sort((a, b) => a[0] * a[1] - b[0] * b[1] || a[0] - b[0]);
    return {
      algorithm: name,
      label: algorithm[0],
      fits: spare >= 0,
      peak_bytes: here.bytes,
      spare_bytes: spare,
      phase: here.phase,
      parts: here.parts,
      sets,
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
