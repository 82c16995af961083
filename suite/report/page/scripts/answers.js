// The first view: questions with their answers, and every claim of the article with its verdict.
function answersElement(content, route) {
  const { ran } = content;
  const lines = [ran.own, ran.references, ran.nothing].filter(Boolean);
  const title = h("h1", {}, word("page.title"));
  const paragraphs = lines.map((line) => h("p", {}, line));
  if (!content.cards) return h("section", { class: "answers" }, title, paragraphs);
  return h(
    "section",
    { class: "answers" },
    title,
    h("p", { class: "ran" }, lines.join(" ")),
    ownElement(content.own),
    content.own.length > 0 && h("h2", {}, word("page.questions")),
    h("div", { class: "cards" }, content.cards.map(cardElement)),
    claimsElement(content, route),
  );
}

function verdictElement(ruling, said = ruling.word) {
  return h("span", { class: `verdict ${ruling.outcome}` }, said);
}

function cardElement({ question, answer, ruling }) {
  const { lead } = ruling;
  return h(
    "article",
    { class: "card" },
    h("h2", {}, question),
    h("p", {}, verdictElement(ruling, answer), " ", badgeElement(ruling)),
    lead &&
      h(
        "p",
        { class: "number" },
        h("strong", {}, lead.written),
        lead.interval && ` ${lead.interval}`,
        lead.count && h("span", { class: "quiet" }, ` ${lead.count}`),
      ),
    lead && h("p", { class: "about" }, lead.about),
    lead && leadFigure(lead),
    peerElement(ruling),
    ruling.flips && h("p", { class: "flips" }, ruling.flips),
    h("p", { class: "why" }, whyLink(ruling), " · ", linkTo(["answers", ruling.id], word("page.the_claim"))),
  );
}

// The case of the number on another machine, marked as computed.
function peerElement({ peer }) {
  return peer && h("p", { class: "peer" }, h("span", { class: "badge" }, word("page.badge.projected")), " ", peer);
}

// Leads to the number: its section, opened with the facets of the lead, shows the claim and marks the number's row.
function whyLink({ id, section, lead }) {
  return linkTo(pathOf(section), word("page.why"), { params: { ...lead?.link, claim: id } });
}

// What a section says first to whoever asks it why: the claim, its card's number and its own, and how that is made up.
function reasonElement(ruling) {
  const { id, claim, card_lead, lead, evidence } = ruling;
  const behind = evidence.length > 0 && h("details", {}, h("summary", {}, word("page.behind")), listElement(evidence));
  const said = h("p", {}, linkTo(["answers", id], claim), " ", verdictElement(ruling));
  const numbers = [card_lead, lead].filter(Boolean).map((number) => h("p", {}, leadText(number)));
  return h("aside", { class: "reason" }, said, numbers, behind);
}

function listElement(texts) {
  const items = texts.map((text) => h("li", {}, text));
  return items.length > 0 && h("ul", {}, items);
}

function leadText({ about, written, interval, count }) {
  const inside = [interval, count].filter(Boolean).join(word("punctuation.notes"));
  return inside ? word("page.lead", { about, written, inside }) : word("page.lead_alone", { about, written });
}

function badgeElement(ruling) {
  if (!ruling.badge) return null;
  const machine = ruling.badge === "elsewhere" && ruling.machine ? ` · ${ruling.machine}` : "";
  return h("span", { class: `badge ${ruling.badge}` }, word(`page.badge.${ruling.badge}`) + machine);
}

// The number on its axis, the interval as a bar, and the value that says neither way as a rule.
function leadFigure({ value, ends, neutral, written }) {
  const toAxis = neutral === 1 ? Math.log2 : Number;
  const marks = [value, ...(ends ?? []), neutral].map(toAxis);
  if (!marks.every(Number.isFinite)) return null;
  const reach = 1.15 * Math.max(...marks.map((mark) => Math.abs(mark - toAxis(neutral))), 1e-9);
  const [width, height] = [240, 26];
  const x = (number) => width / 2 + ((toAxis(number) - toAxis(neutral)) / reach) * (width / 2 - 8);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "lead", role: "img", "aria-label": written });
  picture.append(svg("line", { x1: 0, x2: width, y1: height / 2, y2: height / 2, class: "axis" }));
  picture.append(svg("line", { x1: width / 2, x2: width / 2, y1: 3, y2: height - 3, class: "neutral" }));
  if (ends)
    picture.append(svg("line", { x1: x(ends[0]), x2: x(ends[1]), y1: height / 2, y2: height / 2, class: "interval" }));
  picture.append(svg("circle", { cx: x(value), cy: height / 2, r: 5, class: "value" }));
  return h(
    "figure",
    { class: "lead" },
    picture,
    h("figcaption", {}, word(neutral === 1 ? "page.rule_one" : "page.rule_zero")),
  );
}

function pathOf(section) {
  const view = Object.keys(FRAME.views).find((name) => FRAME.views[name].includes(section));
  return view ? [view, section] : ["answers"];
}

// Every claim as a row that opens, with a switch for each verdict.
function claimsElement({ rulings: inFile, reproduced: [reproduced, ...differing] }, route) {
  const isMissing = ({ outcome }) => outcome === "unmeasured";
  const rulings = [...inFile.filter((ruling) => !isMissing(ruling)), ...inFile.filter(isMissing)];
  const outcomes = [...new Map(rulings.map((ruling) => [ruling.outcome, word(`page.outcome.${ruling.outcome}`)]))];
  const chosen = outcomes.some(([outcome]) => outcome === route.params.verdict) ? route.params.verdict : "";
  const claims = rulings.map((ruling) => claimElement(ruling, ruling.id === route.path[1]));
  const measured = rulings.filter((ruling) => !isMissing(ruling)).length;
  const missing = h("h3", {}, word("page.unmeasured", { count: rulings.length - measured }));
  const show = (outcome) => {
    const isShown = (ruling) => outcome === "" || ruling.outcome === outcome;
    rulings.forEach((ruling, place) => (claims[place].hidden = !isShown(ruling)));
    missing.hidden = !rulings.slice(measured).some(isShown);
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === outcome)));
  };
  const buttons = [
    ["", word("page.all_claims", { count: rulings.length })],
    ...outcomes.map(([outcome, name]) => [
      outcome,
      `${name} ${rulings.filter((one) => one.outcome === outcome).length}`,
    ]),
  ].map(([outcome, name]) =>
    h(
      "button",
      {
        type: "button",
        value: outcome,
        onclick: () => {
          const params = { ...readAddress().params };
          if (outcome) params.verdict = outcome;
          else delete params.verdict;
          replaceAddress(readAddress().path, params);
          show(outcome);
        },
      },
      name,
    ),
  );
  show(chosen);
  return h(
    "div",
    { id: "claims" },
    h("h2", {}, word("page.claims")),
    reproduced && h("p", {}, h("strong", {}, reproduced)),
    listElement(differing),
    h("div", { class: "switch", role: "group", "aria-label": word("page.filters") }, buttons),
    h("div", { class: "claims" }, claims.slice(0, measured), missing, claims.slice(measured)),
  );
}

function claimElement(ruling, isOpen) {
  const { lead } = ruling;
  const part = (title, ...content) =>
    content.flat().filter(Boolean).length > 0 && h("div", { class: "part" }, h("h3", {}, title), content);
  const same =
    ruling.beside &&
    h(
      "p",
      { class: "quiet" },
      word(`page.beside.${ruling.beside.badge}`, { word: ruling.beside.word, lead: leadText(ruling.beside.lead) }),
    );
  return h(
    "details",
    { class: "claim", id: ruling.id, open: isOpen },
    h(
      "summary",
      {},
      h("span", { class: "said" }, ruling.claim),
      verdictElement(ruling),
      h(
        "span",
        { class: "number" },
        lead ? h("strong", {}, lead.written) : "–",
        lead && h("span", { class: "quiet" }, ` ${lead.about}`),
      ),
    ),
    h(
      "div",
      { class: "evidence" },
      h(
        "p",
        {},
        badgeElement(ruling),
        " ",
        lead && leadText(lead),
        " ",
        ruling.flips,
      ),
      peerElement(ruling),
      same,
      part(word("page.behind"), listElement(ruling.evidence)),
      part(word("page.rule"), ruling.rule && h("p", {}, ruling.rule)),
      part(word("page.for"), listElement(ruling.supporting)),
      part(word("page.against"), listElement(ruling.opposing)),
      part(word("page.again"), ruling.commands.map(commandElement)),
      ruling.section && h("p", { class: "why" }, whyLink(ruling)),
    ),
  );
}
