// Tables that sort, filter and copy. The rows stand in the page, so that they are there without this script; of a long
// table it leaves the first in place and puts the others back on demand, since a browser lays out thousands slowly.
const MOST_ROWS_UNFILTERED = 16;
const MOST_ROWS_SHOWN = 200;

function prepareTable(element) {
  const [body] = element.querySelector("table").tBodies;
  const headers = [...element.querySelectorAll("th")];
  const titles = headers.map((th) => th.textContent);
  const facets = JSON.parse(element.dataset.facets);
  const columns = headers.map((th, index) => [th.dataset.facet, index]).filter(([facet]) => facet);
  const rows = [...body.rows].map((tr) => ({
    tr,
    facets: tr.dataset.facets ? JSON.parse(tr.dataset.facets) : {},
    matches: true,
  }));
  const sorted = { column: null, descending: false };
  let order = rows;
  let needle = "";
  let most = MOST_ROWS_SHOWN;

  const showAll = () => {
    most = Infinity;
    show();
  };
  const more = quietButton("", showAll);
  const summary = element.querySelector("summary .quiet");
  const count = summary ?? document.createElement("output");
  const whole = count.textContent;
  const texts = (row) => [...row.tr.cells].map((cell) => cell.textContent);
  const found = () => order.filter((row) => row.matches && (!needle || textOf(row).includes(needle)));
  const textOf = (row) => (row.text ??= texts(row).join("\n").toLowerCase());
  const show = () => {
    const visible = found();
    body.replaceChildren(...visible.slice(0, most).map((row) => row.tr));
    count.textContent =
      visible.length < rows.length ? filled(WORDS.rows_shown, { shown: visible.length, all: rows.length }) : whole;
    more.hidden = visible.length <= most;
    more.textContent = filled(WORDS.show_all, { count: visible.length });
  };

  const sort = (column) => {
    const again = sorted.column === column;
    if (again && sorted.descending) sorted.column = null;
    else Object.assign(sorted, { column, descending: again });
    headers.forEach((th, index) => {
      if (index !== sorted.column) th.removeAttribute("aria-sort");
      else th.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
    });
    order = rows;
    if (sorted.column !== null) {
      const cells = rows.map((row) => row.tr.cells[column].textContent);
      const isNumber = headers[column].classList.contains("number");
      order = sortedIndices(cells, { isNumber, descending: sorted.descending }).map((index) => rows[index]);
    }
    show();
  };
  headers.forEach((th, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    button.addEventListener("click", () => sort(index));
    th.append(button);
  });

  const tools = document.createElement("div");
  tools.className = "tools";
  if (rows.length > MOST_ROWS_UNFILTERED) {
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = WORDS.filter_rows;
    input.setAttribute("aria-label", WORDS.filter_rows);
    input.addEventListener("input", () => {
      needle = input.value.trim().toLowerCase();
      show();
    });
    tools.append(input, ...(summary ? [] : [count]));
  }
  const seen = () => [titles, ...found().map(texts)];
  const copy = quietButton(WORDS.copy, async (button) => {
    await copyText(separated(seen(), "\t"));
    button.textContent = WORDS.copied;
    setTimeout(() => (button.textContent = WORDS.copy), 1500);
  });
  const save = quietButton(WORDS.csv, () => saveCsv(seen(), [element.closest("section").id, element.dataset.title]));
  copy.setAttribute("aria-live", "polite");
  tools.append(copy, save);
  element.querySelector(".scroll").before(tools);
  element.querySelector(".scroll").after(more);
  more.classList.add("more");
  if (rows.length > most) show();
  else more.hidden = true;

  const rowMatches = (row, chosen) =>
    columns.every(([facet, index]) => !(facet in chosen) || row.tr.cells[index].textContent === chosen[facet].text) &&
    Object.entries(row.facets).every(([facet, of]) => !(facet in chosen) || [of].flat().includes(chosen[facet].text));
  return {
    element,
    all: rows.length,
    showAll,
    // Hides what does not match and returns how many rows are left.
    filter(chosen) {
      const fitsWhole = fits(facets, chosen);
      let left = 0;
      for (const row of rows) {
        row.matches = fitsWhole && rowMatches(row, chosen);
        left += row.matches;
      }
      element.hidden = left === 0 && rows.length > 0;
      if (left > 0) show();
      return left;
    },
  };
}

// Whether nothing that these facets say is other than what was chosen.
function fits(facets, chosen) {
  return Object.entries(facets).every(([facet, value]) => !(facet in chosen) || value === chosen[facet].text);
}
