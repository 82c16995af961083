// Which GPUs hold a step of RL: it answers as suite.theory.answers.fit does; a test asks both the same questions.
const { fitAnswers } = (() => {
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

  return { fitAnswers };
})();
