// The frame: one view at a time, by the address; language and theme; what is dropped on the page.
const VIEWS = Object.keys(FRAME.views);
const RUNS_PAGE = "runs";
const main = document.getElementById("main");
let shownFigures = [];
let turn = 0;

function title(view) {
  return word(`page.view.${view}`);
}

function routeOf({ path, params }) {
  const view = VIEWS.includes(path[0]) ? path[0] : VIEWS[0];
  return { path: [view, ...path.slice(1)], view, part: path[1], rest: path.slice(2), params };
}

function applyTheme(params) {
  const isDark = params.theme ? params.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = isDark ? "dark" : "light";
  if (document.documentElement.dataset.theme === theme) return false;
  document.documentElement.dataset.theme = theme;
  return true;
}

function frameElements(route) {
  const views = VIEWS.map((view) =>
    linkTo([view], title(view), { more: { "aria-current": view === route.view ? "page" : null } }),
  );
  const languages = Object.keys(FRAME.languages).filter((name) => name !== LANG);
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  const skip = h("button", { type: "button", class: "skip", onclick: () => main.focus() }, word("page.skip"));
  document.getElementById("top").replaceChildren(
    skip,
    linkTo([VIEWS[0]], word("page.brand"), { more: { class: "brand" } }),
    h("nav", { class: "views", "aria-label": word("page.views_of_page") }, views),
    h(
      "div",
      { class: "switches" },
      languages.map((name) =>
        quietButton(
          FRAME.languages[name].words["page.language"],
          () => switchAlways("lang", name === FRAME.lang ? null : name),
          { lang: FRAME.languages[name].words["page.lang"] },
        ),
      ),
      quietButton(word(`page.theme.${theme}`), () => switchAlways("theme", theme)),
    ),
  );
  const ids = FRAME.views[route.view];
  const links = ids.map((id) => [[route.view, id], FRAME.languages[LANG].titles[id]]);
  if (route.view === "trust") links.push([["trust", RUNS_PAGE], word("page.runs")]);
  const isHere = ([, id]) => id === route.part || (route.part === "run" && id === RUNS_PAGE);
  const sections = document.getElementById("sections");
  sections.hidden = links.length < 2;
  sections.setAttribute("aria-label", word("page.sections"));
  const select = h(
    "select",
    { "aria-label": word("page.sections") },
    links.map(([path, text]) => h("option", { value: path[1], selected: isHere(path) }, text)),
  );
  select.addEventListener(
    "change",
    () => (location.hash = addressOf([route.view, select.value], lasting(readAddress().params))),
  );
  sections.replaceChildren(
    select,
    h(
      "ul",
      {},
      links.map(([path, text]) =>
        h("li", {}, linkTo(path, text, { more: { "aria-current": isHere(path) ? "page" : null } })),
      ),
    ),
  );
  document
    .getElementById("made")
    .replaceChildren(h("p", {}, word("page.units"), " ", word("page.made", { version: FRAME.version })));
  document.getElementById("licences").textContent = word("page.licences");
}

function switchAlways(name, value) {
  const { path, params } = readAddress();
  const next = { ...params, [name]: value };
  location.hash = addressOf(path, next);
}

async function show() {
  const mine = ++turn;
  const route = routeOf(readAddress());
  LANG = Object.hasOwn(FRAME.languages, route.params.lang) ? route.params.lang : FRAME.lang;
  document.documentElement.lang = word("page.lang");
  applyTheme(route.params);
  if (
    FRAME.views[route.view].length &&
    (!route.part || ![...FRAME.views[route.view], RUNS_PAGE, "run"].includes(route.part))
  ) {
    route.path[1] = route.part = FRAME.views[route.view][0];
  }
  if (route.view === "trust" && !route.part) route.path[1] = route.part = RUNS_PAGE;
  const before = [...drawnFigures.keys()];
  let made;
  try {
    made = await viewElement(route);
  } catch (error) {
    if (!("DecompressionStream" in window)) made = { element: h("p", {}, word("page.cannot_unpack")) };
    else throw error;
  }
  if (mine !== turn) return;
  forgetFigures(before);
  frameElements(route);
  main.replaceChildren(made.element);
  shownFigures = made.figures ?? [];
  const name = made.element.querySelector("h1")?.textContent ?? "";
  document.title = route.view === VIEWS[0] ? word("page.title") : `${name} · ${title(route.view)}`;
  const target = route.rest[0] && made.element.querySelector(`[id="${CSS.escape(route.rest[0])}"]`);
  const claim = route.view === "answers" && route.part && document.getElementById(route.part);
  made.element.querySelector(".marked")?.scrollIntoView({ block: "center" });
  if (target || claim) (target || claim).scrollIntoView();
  else window.scrollTo({ top: 0, behavior: "instant" });
}

async function viewElement(route) {
  if (route.view === "answers") return { element: answersElement(await block(`${LANG}/answers`), route) };
  if (route.view === "decide") return decideElement(route);
  if (route.view === "trust" && route.part === RUNS_PAGE)
    return { element: runsElement(await numberedRuns(), route, droppedRuns) };
  if (route.view === "trust" && route.part === "run") return { element: await runElement(route.rest[0], droppedRuns) };
  const { sections, terms } = (await block(`${LANG}/${route.view}`)) ?? { sections: [] };
  const content = sections.find((section) => section.id === route.part);
  if (!content) return { element: h("p", { class: "quiet" }, word("page.nothing_here")) };
  const { rulings = [] } = route.params.claim ? await block(`${LANG}/answers`) : {};
  const ruling = rulings.find(({ id }) => id === route.params.claim);
  return sectionElement(content, terms, route, ruling);
}

async function decideElement(route) {
  const data = await block("decide");
  if (!data) return { element: h("p", { class: "quiet" }, word("page.nothing_here")) };
  const root = h("section", { class: "decide" });
  const state = Object.fromEntries(Object.entries(route.params).filter(([name]) => !EVERYWHERE.includes(name)));
  decideView(root, data, FRAME.languages[LANG].words, state, (changed) =>
    replaceAddress(["decide"], { ...changed, ...lasting(readAddress().params) }),
  );
  return { element: root };
}

window.addEventListener("hashchange", () => (location.hash === "" || location.hash.startsWith("#/")) && show());
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!applyTheme(readAddress().params)) return;
  frameElements(routeOf(readAddress()));
  shownFigures.forEach((figure) => figure.redraw());
});
// Who prints at once does not wait for what is out of sight. Of tables those are printed that were opened.
window.addEventListener("beforeprint", () => shownFigures.forEach((figure) => figure.draw()));
Promise.all([show(), isRead]).then(() => {
  // The page answers first: to run plotly.js takes longer than all else.
  if (document.querySelector("script[data-library=plotly]")) setTimeout(() => warmUp().catch(() => {}), 300);
});
