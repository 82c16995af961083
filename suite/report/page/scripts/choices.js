// What a reader can choose in a section. Figures and tables of one family differ in their subject alone: one is shown, by
// the facets in which they differ. Where the lines of a figure or the rows of a table differ in a facet, all are shown
// until one is chosen.

// Blocks by family, in their order.
function familiesOf(blocks) {
  const found = new Map();
  for (const content of blocks) {
    if (!found.has(content.key)) found.set(content.key, []);
    found.get(content.key).push(content);
  }
  const families = [...found.values()];
  families.forEach(tellApart);
  return families;
}

// Where facets do not tell the members of a family apart, what else is said of them does.
function tellApart(family) {
  const facets = family.map((content) => JSON.stringify(Object.entries(content.facets).sort()));
  if (new Set(facets).size === family.length) return;
  for (const content of family) {
    const said = [content.title === content.family ? "" : content.title, content.settings].filter(Boolean).join(" · ");
    content.facets = { ...content.facets, case: said || content.title };
  }
}

function namesOf(contents) {
  return new Set(contents.flatMap((content) => Object.keys(content.facets)));
}

// For each facet its values, and whether one of them must be taken. `keyOf`: the English name of what a cell says.
function choicesIn(families, tables, keyOf) {
  const found = new Map();
  const add = (name, value, isOne) => {
    if (!value || value === "–") return;
    if (!found.has(name)) found.set(name, { name, isOne: false, values: new Set() });
    const choice = found.get(name);
    choice.isOne ||= isOne;
    choice.values.add(value);
  };
  for (const family of families) {
    for (const name of namesOf(family)) {
      const values = family.map((content) => content.facets[name]);
      const isOne = new Set(values.filter(Boolean)).size > 1;
      if (isOne) values.forEach((value) => add(name, value, true));
    }
  }
  for (const content of families.flat()) {
    for (const { figure } of content.views ?? []) {
      for (const { meta } of figure.data) {
        for (const [name, said] of Object.entries(meta ?? {}))
          [said].flat().forEach((value) => add(name, value, false));
      }
    }
  }
  for (const content of tables) {
    content.columns.forEach((column, index) => {
      if (column.facet) content.rows.forEach((row) => add(column.facet, keyOf(row[index]), false));
    });
    for (const facets of content.rowFacets) {
      for (const [name, said] of Object.entries(facets)) [said].flat().forEach((value) => add(name, value, false));
    }
  }
  return [...found.values()].filter((choice) => choice.values.size > 1);
}

// The member of a family that agrees in most of what is wished; of several the first. What is wished first counts most.
function pick(family, wished) {
  const names = Object.keys(wished);
  const score = (content) =>
    names.reduce(
      (sum, name, place) => sum + (content.facets[name] === wished[name] ? 2 ** (names.length - place) : 0),
      0,
    );
  return family.reduce((best, content) => (score(content) > score(best) ? content : best));
}
