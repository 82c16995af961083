// What a reader chooses in the bar holds for the whole page: figures, tables and rows that are about something else are
// hidden. What does not say what it is about stays.
const WORDS = JSON.parse(document.getElementById("words").textContent);
const form = document.querySelector(".filters");
const tables = [...document.querySelectorAll(".table")].map(prepareTable);
const figures = prepareFigures([...document.querySelectorAll("figure")]);
const sections = [...document.querySelectorAll("section")].map((element) => ({
  element,
  parts: [...figures, ...tables].filter((part) => element.contains(part.element)),
}));

function chosenFacets() {
  const selects = [...form.querySelectorAll("select")].filter((select) => select.value);
  return Object.fromEntries(
    selects.map((select) => [select.name, { text: select.value, figure: select.selectedOptions[0].dataset.figure }]),
  );
}

function applyFilters() {
  const chosen = chosenFacets();
  const sum = (parts) => parts.reduce((total, part) => total + part.filter(chosen), 0);
  const left = { figures: sum(figures), rows: sum(tables) };
  for (const { element, parts } of sections) {
    element.classList.toggle("unmatched", parts.length > 0 && parts.every((part) => part.element.hidden));
  }
  const all_rows = tables.reduce((total, table) => total + table.all, 0);
  const isChosen = Object.keys(chosen).length > 0;
  form.querySelector("output").value = isChosen
    ? filled(WORDS.showing, { ...left, all_figures: figures.length, all_rows })
    : "";
  form.querySelector("button").disabled = !isChosen;
}

if (form) {
  form.hidden = false;
  form.addEventListener("change", applyFilters);
  // The selects hold their first values again only after the event.
  form.addEventListener("reset", () => setTimeout(applyFilters));
}
// On paper nothing opens.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("main details").forEach((details) => (details.open = true));
  tables.forEach((table) => table.showAll());
});
