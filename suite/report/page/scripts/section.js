// One section: its finding, what can be chosen, its figures, and behind them how to read it and the tables.
function sectionElement(content, terms, route) {
  const keyOf = (
    (byName) => (text) =>
      byName.get(text) ?? text
  )(new Map(Object.entries(terms).map(([key, text]) => [text, key])));
  const path = () => [route.view, content.id];
  let params = { ...route.params };
  const here = {
    id: content.id,
    path,
    params: () => params,
    change(changed) {
      params = Object.fromEntries(Object.entries({ ...params, ...changed }).filter(([, value]) => value !== null));
      replaceAddress(path(), params);
    },
  };
  const families = familiesOf(content.figures);
  const tableFamilies = familiesOf(content.tables);
  const choices = choicesIn([...families, ...tableFamilies], content.tables, keyOf);
  const figures = families.map((family, place) => figureElement(family, place, here));
  const tables = tableFamilies.map((family, place) =>
    tableFamily(family, { here, terms, isOpen: !figures.length && place === 0 }),
  );
  const selects = new Map(choices.map((choice) => [choice.name, selectElement(choice, terms)]));
  const form = h(
    "form",
    { class: "choices", hidden: !choices.length, "aria-label": word("page.filters"), autocomplete: "off" },
    [...selects.values()].map((select) => h("label", {}, word(`column.${select.name}`), select)),
  );

  const apply = (latest) => {
    const usual = Object.assign({}, ...[...families, ...tableFamilies].reverse().map((family) => family[0].facets));
    const isOne = (name) => choices.find((choice) => choice.name === name)?.isOne;
    const known = (name) => choices.some((choice) => choice.name === name && choice.values.has(params[name]));
    // What was chosen counts more than what is usual.
    const asked = [...selects.keys()].filter((name) => known(name));
    // Whose runs they are counts more than which case: a page opens on one's own.
    const names = [...new Set([latest, ...asked, "label", ...selects.keys()])].filter((name) => name && isOne(name));
    const wished = Object.fromEntries(names.map((name) => [name, known(name) ? params[name] : usual[name]]));
    const filters = Object.fromEntries(
      [...selects.keys()].filter((name) => !isOne(name) && known(name)).map((name) => [name, params[name]]),
    );
    const taken = { ...wished };
    [...figures, ...tables].reverse().forEach((part) => Object.assign(taken, part.choose(wished, filters, params)));
    for (const [name, select] of selects) select.value = isOne(name) ? (taken[name] ?? "") : (filters[name] ?? "");
  };
  form.addEventListener("change", ({ target }) => {
    const first = isUsual(target) ? null : target.value;
    here.change({ [target.name]: first });
    apply(target.name);
  });
  apply();

  const [first, ...others] = content.headlines;
  const element = h(
    "section",
    { id: `section-${content.id}` },
    h("h1", {}, content.title),
    first && h("p", { class: "headline" }, first.text && h("strong", {}, first.text), " ", short(first.detail)),
    others.length > 0 &&
      h(
        "ul",
        { class: "headlines" },
        others.map((one) => h("li", {}, one.text || short(one.detail))),
      ),
    form,
    figures.map((figure) => figure.element),
    readingElement(content),
    tables.map((table) => table.element),
    !figures.length &&
      !tables.length &&
      !content.headlines.length &&
      h("p", { class: "quiet" }, word("page.nothing_here")),
  );
  return { element, figures, showAll: () => tables.forEach((table) => table.showAll()) };
}

// What is said before the first figure stays short; the whole stands under it. A Chinese sign counts as half a word.
const MOST_WORDS = 60;
const WORD = /[\p{Script=Han}]{1,2}|[^\s\p{Script=Han}]+|\s+/gu;
function short(text) {
  const parts = text.match(WORD) ?? [];
  let words = 0;
  const end = parts.findIndex((part) => (words += part.trim() ? 1 : 0) > MOST_WORDS);
  return end < 0 ? text : `${parts.slice(0, end).join("").trimEnd()} …`;
}

function readingElement(content) {
  const details = content.headlines.map(
    ({ text, detail }) => detail && h("p", {}, text && h("strong", {}, text), " ", detail),
  );
  const open = !content.figures.length;
  if (!content.explanation && !details.some(Boolean)) return null;
  return h(
    "details",
    { class: "reading", open },
    h("summary", {}, word("page.how_to_read")),
    h("p", {}, content.explanation),
    details,
  );
}

function selectElement({ name, isOne, values }, terms) {
  const options = [...values].map((value) => h("option", { value }, cutTo(terms[value] ?? value, 60)));
  return h("select", { name }, !isOne && h("option", { value: "" }, word("page.all")), options);
}

// The first choice goes without saying in the address.
function isUsual(select) {
  return select.selectedIndex === 0;
}

function cutTo(text, longest) {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

function tableFamily(family, { here, terms, isOpen }) {
  let [content, made] = [family[0], null];
  const title = h("span");
  const count = h("span", { class: "quiet" });
  const details = h("details", { class: "table", open: isOpen }, h("summary", {}, title, " ", count));
  const address = () => wholeAddress(here.path(), here.params());
  const lay = (filters) => {
    made = tableElement(content, { name: [here.id, content.title, content.settings], address, terms });
    const left = made.filter(filters);
    title.textContent = content.title;
    count.textContent = word("page.rows", { count: left });
    details.replaceChildren(
      details.firstChild,
      content.settings && h("p", { class: "settings" }, content.settings),
      made.element,
    );
    return left;
  };
  let filters = {};
  // A folded table is laid out when it is opened: thousands of cells are not, for nobody.
  const open = () => made ?? lay(filters);
  details.addEventListener("toggle", () => details.open && open());
  return {
    element: details,
    choose(wished, chosen) {
      content = pick(family, wished);
      filters = chosen;
      made = null;
      title.textContent = content.title;
      count.textContent = word("page.rows", { count: content.rows.length });
      details.replaceChildren(details.firstChild);
      if (details.open) open();
      return content.facets;
    },
    showAll() {
      details.open = true;
      open();
      made.showAll();
    },
  };
}

// Where a figure's numbers come from: measured or computed, on which machines, when and at which commit.
// `otherwise`: what is said where no run stands behind it.
async function sourceOf(numbers, otherwise) {
  const lines = (await block("runs")) ?? [];
  if (!numbers.length) return otherwise || word("page.source_none");
  const runs = numbers.map((number) => lines[number]);
  const distinct = (values) => [...new Set(values.filter(Boolean))];
  const few = (values) => (values.length > 2 ? `${values.slice(0, 2).join(", ")} …` : values.join(", "));
  const days = distinct(runs.map((run) => run.at.slice(0, 10))).sort();
  const measured = runs.some((run) => run.evidence === "measured");
  return word(measured ? "page.source_measured" : "page.source_projected", {
    machines: few(distinct(runs.map((run) => run.machine))),
    days: days.length > 1 ? `${days[0]}–${days.at(-1)}` : (days[0] ?? "–"),
    commits: few(distinct(runs.map((run) => run.commit.slice(0, 7)))),
    count: runs.length,
  });
}
