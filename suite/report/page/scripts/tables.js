// Tables that sort, filter and copy. Of a long one the first rows are laid out, of a wide one the first columns, until
// somebody asks for the others; what scrolls has a shadow at the side where there is more.
const MOST_ROWS_UNFILTERED = 16;
const MOST_ROWS_SHOWN = 200;
const MOST_COLUMNS_SHOWN = 6;

// `content`: columns with title, kind and facet, rows of texts, rowFacets, note. Returns the element, and functions that
// leave only the rows about what was chosen and that mark one. `cells`: elements in the place of texts. `find`: the words
// that are searched for, and what hears of others.
function tableElement(content, { name, address, terms = {}, cells = null, mostShown = MOST_COLUMNS_SHOWN, find = null }) {
  const titles = content.columns.map((column) => column.title);
  const facetColumns = content.columns.map((column, index) => [column.facet, index]).filter(([facet]) => facet);
  const rows = content.rows.map((texts, index) => ({
    texts,
    index,
    facets: content.rowFacets?.[index] ?? {},
    matches: true,
  }));
  const sorted = { column: null, descending: false };
  let [order, needle, mostRows, mostColumns] = [rows, find?.words.toLowerCase() ?? "", MOST_ROWS_SHOWN, mostShown];
  if (titles.length === mostColumns + 1) mostColumns = Infinity;
  let marked = null;

  const body = h("tbody");
  const heads = content.columns.map((column, index) =>
    h(
      "th",
      { class: column.kind, scope: "col" },
      h("button", { type: "button", onclick: () => sort(index) }, column.title),
    ),
  );
  const scroll = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": content.title },
    h("table", {}, h("thead", {}, h("tr", {}, heads)), body),
  );
  const { frame, shade } = shadowed(scroll);
  const count = h("output");
  const moreRows = quietButton("", () => ((mostRows = Infinity), show()), { class: "quiet-button more" });
  const moreColumns = quietButton("", () => ((mostColumns = Infinity), show()));

  const textOf = (row) => (row.text ??= [...row.texts, content.searched?.[row.index]].join("\n").toLowerCase());
  const found = () =>
    order.filter((row) => row.matches && needle.split(/\s+/).every((part) => textOf(row).includes(part)));
  const cellOf = (row, index) =>
    h("td", { class: content.columns[index].kind }, cells?.(row.index, index) ?? cut(row.texts[index]));
  const show = () => {
    const visible = found();
    const columns = titles.slice(0, mostColumns);
    heads.forEach((head, index) => (head.hidden = index >= mostColumns));
    body.replaceChildren(
      ...visible.slice(0, mostRows).map((row) =>
        h(
          "tr",
          { class: row === marked && "marked" },
          columns.map((_, index) => cellOf(row, index)),
        ),
      ),
    );
    count.textContent =
      visible.length < rows.length ? word("page.rows_shown", { shown: visible.length, all: rows.length }) : "";
    moreRows.hidden = visible.length <= mostRows;
    moreRows.textContent = word("page.show_all", { count: visible.length });
    moreColumns.hidden = mostColumns >= titles.length;
    moreColumns.textContent = word("page.more_columns", { count: titles.length - columns.length });
    shade();
  };
  const sort = (column) => {
    const again = sorted.column === column;
    if (again && sorted.descending) sorted.column = null;
    else Object.assign(sorted, { column, descending: again });
    heads.forEach((head, index) => {
      if (index !== sorted.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
    });
    order = rows;
    if (sorted.column !== null) {
      const texts = rows.map((row) => row.texts[column]);
      const isNumber = content.columns[column].kind === "number";
      order = sortedIndices(texts, { isNumber, descending: sorted.descending }).map((index) => rows[index]);
    }
    show();
  };
  const seen = () => [titles, ...found().map((row) => row.texts)];
  const search = h("input", {
    type: "search",
    placeholder: word("page.filter_rows"),
    "aria-label": word("page.filter_rows"),
    value: find?.words ?? "",
  });
  search.addEventListener("input", () => {
    needle = search.value.trim().toLowerCase();
    find?.changed(search.value.trim());
    show();
  });
  const tools = h(
    "div",
    { class: "tools" },
    (find || rows.length > MOST_ROWS_UNFILTERED) && search,
    count,
    h("span", { class: "gap" }),
    moreColumns,
    doneButton(word("page.copy"), word("page.copied"), () => copyText(separated(seen(), "\t"))),
    doneButton(word("page.markdown"), word("page.copied"), () =>
      copyText(inMarkdown(content.title, seen(), address())),
    ),
    quietButton(word("page.csv"), () => saveCsv(seen(), name)),
  );
  show();
  return {
    element: h(
      "div",
      { class: "table" },
      tools,
      frame,
      moreRows,
      content.note && h("p", { class: "note" }, content.note),
    ),
    rows: rows.length,
    mark(place) {
      marked = rows[place];
      [mostRows, mostColumns] = [Math.max(mostRows, place + 1), Infinity];
      show();
    },
    // Leaves the rows about what was chosen, and returns how many they are.
    filter(chosen) {
      for (const row of rows) {
        row.matches =
          facetColumns.every(
            ([facet, index]) => !(facet in chosen) || row.texts[index] === (terms[chosen[facet]] ?? chosen[facet]),
          ) &&
          Object.entries(row.facets).every(([facet, of]) => !(facet in chosen) || [of].flat().includes(chosen[facet]));
      }
      show();
      return rows.filter((row) => row.matches).length;
    },
  };
}

// A box that scrolls in a frame, with a shadow at each side where there is more.
function shadowed(scroll) {
  const frame = h("div", { class: "scroller" }, scroll);
  const shade = () => {
    frame.toggleAttribute("data-left", scroll.scrollLeft > 1);
    frame.toggleAttribute("data-right", scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 1);
    frame.toggleAttribute("data-below", scroll.scrollTop + scroll.clientHeight < scroll.scrollHeight - 1);
  };
  scroll.addEventListener("scroll", shade, { passive: true });
  new ResizeObserver(shade).observe(scroll);
  return { frame, shade };
}

function cut(text) {
  return text.length > 1000 ? `${text.slice(0, 999)}…` : text;
}
