// The person's own runs, ranked: of each view the most telling case is open, and all others are a line that opens.
function ownElement(rankings) {
  if (!rankings.length) return null;
  const views = [...new Set(rankings.map((ranking) => ranking.view))];
  return h(
    "div",
    { class: "own" },
    h("h2", {}, word("page.own")),
    h("p", { class: "quiet" }, word("page.own_note"), " ", linkTo(["trust", RUNS_PAGE], word("page.runs"))),
    views.flatMap((view) => viewRankings(view, rankings.filter((ranking) => ranking.view === view))),
  );
}

function viewRankings(view, [first, ...others]) {
  const layOthers = () => others.map((ranking) => rankingElement(ranking));
  return [
    h("h3", {}, word(`page.own.${view}`), " · ", linkTo([view], word("page.figures"))),
    rankingElement(first, true),
    others.length > 0 && laidOutWhenOpened(word("page.own_others", { count: others.length }), layOthers),
  ];
}

function rankingElement({ finding, table, commands }, isOpen = false) {
  const address = () => wholeAddress(["answers"], readAddress().params);
  const lay = () => [
    tableElement(table, { name: ["own", table.title], address }).element,
    laidOutWhenOpened(word("page.again"), () => commands.map(commandElement)),
  ];
  return laidOutWhenOpened([table.title, " ", h("span", { class: "found" }, finding)], lay, isOpen);
}

function laidOutWhenOpened(summary, lay, isOpen = false) {
  const details = h("details", { open: isOpen }, h("summary", {}, summary));
  const open = () => details.childElementCount > 1 || details.append(...lay());
  details.addEventListener("toggle", open);
  if (isOpen) open();
  return details;
}
