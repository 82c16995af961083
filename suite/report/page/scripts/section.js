// One section: its finding, what can be chosen, its figures, and behind them how to read it and the tables.
function sectionElement(content, terms, route, ruling) {
  const keys = new Map(Object.entries(terms).map(([key, text]) => [text, key]));
  const keyOf = (text) => keys.get(text) ?? text;
  const path = () => [route.view, content.id];
  let params = { ...route.params };
  const here = {
    id: content.id,
    path,
    params: () => params,
    change(changed) {
      const next = { ...params, claim: null, ...changed };
      params = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== null));
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
    ruling && reasonElement(ruling),
    first && h("p", { class: "headline" }, ...headline(first)),
    h("div", { class: "headlines" }, listElement(others.map(headline))),
    form,
    figures.map((figure) => figure.element),
    readingElement(content),
    tables.map((table) => table.element),
    !figures.length &&
      !tables.length &&
      !content.headlines.length &&
      h("p", { class: "quiet" }, word("page.nothing_here")),
  );
  if (ruling?.lead) markRow(ruling.lead, tables);
  return { element, figures };
}

// Marks the row that holds a number with its interval, in its table, which is opened; a lone number may stand anywhere.
function markRow({ written, interval }, tables) {
  const numbers = numbersIn(`${written} ${interval}`);
  const isHeld = (texts) => numbers.every((number) => numbersIn(texts.join(" ")).includes(number));
  if (numbers.length > 2) tables.some((table) => table.mark(isHeld));
}

// What is said before the first figure stays short, and whole sentences: the rest stands under it. A Chinese sign counts
// as half a word.
const MOST_WORDS = 60;
const WORD = /[\p{Script=Han}]{1,2}|[^\s\p{Script=Han}]+/gu;
const SENTENCE = /.+?(?:[.?!](?=\s+[^\p{Ll}]|$)|[。？！]|$)\s*/gsu;
function short({ text, detail }) {
  const sentences = detail.match(SENTENCE) ?? [];
  let words = 0;
  const end = sentences.findIndex((sentence) => (words += sentence.match(WORD)?.length ?? 0) > MOST_WORDS);
  return sentences.slice(0, end < 0 ? sentences.length : Math.max(end, text ? 0 : 1)).join("");
}

function headline(content) {
  return [content.text && h("strong", {}, content.text), " ", short(content)];
}

function readingElement(content) {
  // A detail that stands whole above is not repeated.
  const details = content.headlines.map((one) => short(one) !== one.detail && h("p", {}, one.detail));
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
    title.textContent = withMinus(content.title);
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
      title.textContent = withMinus(content.title);
      count.textContent = word("page.rows", { count: content.rows.length });
      details.replaceChildren(details.firstChild);
      if (details.open) open();
      return content.facets;
    },
    // Opens the table and marks the first row whose texts are as wanted; false where none is.
    mark(isWanted) {
      const place = content.rows.findIndex(isWanted);
      if (place < 0) return false;
      details.open = true;
      open();
      made.mark(place);
      return true;
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
  const few = (values) => {
    const names = values.slice(0, 2).join(word("punctuation.list"));
    return values.length > 2 ? word("page.and_more", { names, count: values.length - 2 }) : names;
  };
  const days = distinct(runs.map((run) => run.at.slice(0, 10))).sort();
  const measured = runs.some((run) => run.evidence === "measured");
  return word(measured ? "page.source_measured" : "page.source_projected", {
    machines: few(distinct(runs.map((run) => run.machine))),
    days: days.length > 1 ? `${days[0]}–${days.at(-1)}` : (days[0] ?? "–"),
    commits: few(distinct(runs.map((run) => run.commit.slice(0, 7)))),
    count: runs.length,
  });
}
