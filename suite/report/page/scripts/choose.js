// The chooser of a served model: it answers as suite.theory.answers.choose does; a test asks both the same questions.
const { chooseAnswers, modelOf, gpusOf } = (() => {
  const MILLION = 1e6,
    HOUR = 3600;

  // `null` where nothing is said; undefined for what these devices cannot be divided by.
  function parallelOf(text, devices) {
    if (text === null || text === "") return null;
    const found = /^(tp|dp|dcp)([1-9]\d*)?$/.exec(text),
      size = Number(found?.[2] ?? devices);
    if (!found || devices % size || (found[1] === "dcp" && size !== devices)) return undefined;
    return [found[1], size];
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
    const asked = {
      ...{ new_tokens: 1, batch: null, weights: data.dtype, cache_dtype: data.dtype, tpot: null, ttft: null },
      ...question,
    };
    const found = modelOf(data, asked),
      gpus = gpusOf(data, asked.gpus);
    if (gpus.count > data.most_devices)
      gpus.refusal = { key: "refused.many", most: data.most_devices, count: gpus.count };
    const parallel = gpus.refusal ? null : parallelOf(asked.parallel ?? null, gpus.count);
    const wrong = found.refusal ?? gpus.refusal ?? refusalOf(asked, gpus, parallel, data.dtype);
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

  function refusalOf(asked, { count: devices, device }, parallel, dtype) {
    const { context, new_tokens: query, batch } = asked;
    if (parallel === undefined) {
      const sizes = divisorsOf(devices).reverse().join("|");
      return { key: "refused.parallel", sizes, devices, got: asked.parallel };
    }
    if (!isCount(context, 2)) return { key: "refused.context" };
    if (!isCount(query) || query >= context) return { key: "refused.new_tokens", most: context - 1, got: query };
    if (parallel?.[0] === "dcp" && devices > 1 && ceilDiv(context, devices) <= query)
      return { key: "refused.dcp", context, devices, query };
    for (const name of ["tpot", "ttft"])
      if (asked[name] !== null && !(asked[name] > 0)) return { key: `refused.${name}`, got: asked[name] };
    for (const name of ["tpot", "ttft"])
      if (asked[name] !== null && !device?.flops_per_s)
        return { key: "refused.deadline", name, dtype, gpus: asked.gpus };
    if (asked.ttft !== null && parallel?.[0] === "dcp") return { key: "refused.ttft_dcp" };
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
    const why = { ...all[0].refusal, layout: all[0].layout.name };
    if (asked.parallel[0] === "tp") {
      const others = shared(null).filter((one) => !one.refusal && !one.layout.mlps);
      Object.assign(why, { key: "why.heads_tp", possible: others.map((one) => one.layout.name).join(", ") });
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
    const largest = onOne * shared.layout.groups;
    const answer = answerWith(data, laid, {
      layout: shared.layout.name,
      groups: shared.layout.groups,
      token_bytes: shared.tokenBytes,
      sequence_bytes: sequence,
      weight_bytes: weights,
      parameters: shared.parameters,
      largest_batch: largest,
    });
    const why = { key: room > 0 ? "why.room" : "why.weights", weights, room, share, memory: gpus.memory, sequence };
    if (!largest) return { ...answer, why };
    if (asked.batch > largest) return { ...answer, why: { key: "why.batch", largest, batch: asked.batch } };
    if (asked.ttft !== null) {
      answer.prompt_s = boundOf(gpus.device, shared.step(1, asked.context, asked.context));
      if (answer.prompt_s > asked.ttft) {
        const missed = { key: "why.ttft", took: answer.prompt_s, allowed: asked.ttft };
        return { ...answer, why: missed };
      }
    }
    let batch = asked.batch ?? largest;
    if (asked.tpot !== null) {
      const smallest = asked.batch ?? 1,
        inTime = largestInTime(data, asked, gpus, shared, smallest, batch);
      if (!inTime) {
        const took = stepSeconds(data, asked, gpus, shared, smallest);
        return { ...answer, why: { key: "why.tpot", smallest, took, allowed: asked.tpot } };
      }
      batch = inTime;
    }
    return { ...answer, fits: true, batch, ...timesOf(data, asked, gpus, shared, batch) };
  }

  // The time by which a step is held to a deadline: what is expected of it, or its bound where nothing is.
  function stepSeconds(data, asked, gpus, shared, batch) {
    const { bound_s, expected_s } = timesOf(data, asked, gpus, shared, batch);
    return expected_s ?? bound_s;
  }

  // As suite.theory.answers.choose._largest_in_time: between turns of a calibration's fits a step's time grows.
  function largestInTime(data, asked, gpus, shared, smallest, largest) {
    const rows = new Set((gpus.device.calibration?.products ?? []).map((fit) => fit[2])),
      turns = [...rows].flatMap((count) => shared.batchesOfRows(count, asked.new_tokens));
    const inside = turns.filter((batch) => smallest < batch && batch <= largest),
      starts = [...new Set([smallest, ...inside])].sort((a, b) => a - b);
    const meets = (batch) => stepSeconds(data, asked, gpus, shared, batch) <= asked.tpot;
    for (let at = starts.length - 1; at >= 0; at -= 1) {
      let low = starts[at],
        high = at + 1 < starts.length ? starts[at + 1] - 1 : largest;
      if (!meets(low)) continue;
      while (low < high) {
        const middle = ceilDiv(low + high, 2);
        if (meets(middle)) low = middle;
        else high = middle - 1;
      }
      return low;
    }
    return 0;
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

  return { chooseAnswers, modelOf, gpusOf };
})();
