// A model on devices, from the coefficients of suite/report/decide/data.py: this multiplies them and takes the larger, and
// the formulas are those of suite/theory. choose.js and fit.js answer questions with it.
const { isCount, filled, sum, ceilDiv, divisorsOf, layoutsOf, sharedModel, boundOf, expectedOf } = (() => {
  const ELEMENT = 2;
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
    const isWhole = pass.query === pass.seq,
      expanded = isWhole && pass.seq > 1 ? layer.prompt : undefined;
    // What is read as it was projected is no cache: an expanded prompt, and a prompt that is longer than its window.
    const narrowIn = ([, , , , window]) => pass.narrow && !expanded && !(isWhole && window && pass.seq > window);
    const works = (expanded ?? layer.scans ?? []).map((scan) => scanWork(scan, { ...pass, narrow: narrowIn(scan) }));
    const [flops, elements] = layer.token ?? [0, 0],
      latent = expanded ? pass.seq * sum(layer.rows, (rows) => rowBytes(rows, pass.narrow)) : 0,
      states = (layer.state ?? 0) * (isWhole ? 1 : 2);
    return {
      flops: sum(works, (work) => work.flops) + pass.batch * pass.query * flops,
      bytes: sum(works, (work) => work.bytes) + pass.batch * (pass.query * elements * ELEMENT + states + latent),
    };
  }

  // ---- layouts of the devices, as suite.theory.layers.parallel
  const nameOf = (layout) =>
    layout.context ? `dcp${layout.tp}` : layout.mlps ? `dp${layout.groups}` : `tp${layout.tp}`;
  const divisorsOf = (count) => [...Array(count).keys()].map((at) => count - at).filter((size) => count % size === 0);

  function layoutsOf(devices, parallel, mlps) {
    const laid = (layout) => ({ context: false, mlps: false, ...layout });
    const layouts = [];
    if (parallel === null) {
      const replicas = divisorsOf(devices).map((tp) => laid({ tp, groups: devices / tp }));
      layouts.push(...replicas, ...replicas.filter(({ groups }) => mlps && groups > 1).map((one) => ({ ...one, mlps })));
    } else {
      const [way, size] = parallel;
      if (way === "dp") layouts.push(laid({ tp: devices / size, groups: size, mlps: mlps && size > 1 }));
      else layouts.push(laid({ tp: size, groups: devices / size, context: way === "dcp" && size > 1 }));
    }
    return layouts.map((layout) => ({ ...layout, name: nameOf(layout) }));
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
      // The smallest batch whose step multiplies matrices by so many tokens: by those of one group, and by all.
      batchesOfRows: (rows, query) => [(ceilDiv(rows, query) - 1) * groups + 1, ceilDiv(rows, query)],
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

  return { isCount, filled, sum, ceilDiv, divisorsOf, layoutsOf, sharedModel, boundOf, expectedOf };
})();
