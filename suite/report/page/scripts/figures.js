// Figures: those in sight are drawn first, the others of the view right after; text and grid follow the theme.

const TO_NOBODY = { showSendToCloud: false, plotlyServerURL: "" };
const PLOTLY_CONFIG = { ...TO_NOBODY, displaylogo: false, displayModeBar: false, responsive: true };

// A browser compiles what is called for the first time, which takes the first figure 100 ms: so one is drawn that nobody
// sees, while nobody waits.
async function warmUp() {
  await runLibrary("plotly");
  if (drawnFigures.size) return;
  const plot = document.body.appendChild(h("div", { class: "offscreen", "aria-hidden": "true" }));
  const points = { x: [1, 2], y: [1, 2], text: ["a", "b"], error_y: { array: [1, 1] } };
  const axis = { automargin: true, title: { text: "a" } };
  await Plotly.newPlot(
    plot,
    [{ ...points, mode: "lines+markers+text" }, { ...points, type: "bar" }, { z: [[1, 2]], type: "heatmap" }],
    { width: 300, height: 300, xaxis: axis, yaxis: axis, annotations: [{ x: 1, y: 1, text: "a" }] },
    PLOTLY_CONFIG,
  );
  Plotly.purge(plot);
  plot.remove();
  block("runs"); // which every figure's source is made of
}

// On a narrow screen a legend has a line for each entry, and the figure grows by them. plotly.js cuts what is wider.
const [NARROW_PX, LEGEND_ROW_PX, LEGEND_MARK_PX, LETTER_PX] = [560, 17, 50, 6.5];
function legendLines(data) {
  const shown = data.filter((trace) => trace.showlegend !== false && trace.name);
  const entries = new Map(shown.map((trace) => [trace.legendgroup ?? trace.name, trace.name]));
  return [...entries.values()].join("<br>").split("<br>").length;
}
function foldedName(name, widthPx) {
  const letters = Math.max(20, Math.floor((widthPx - LEGEND_MARK_PX) / LETTER_PX));
  return name?.replace(new RegExp(`(.{1,${letters}})( +|$)`, "g"), "$1<br>").replace(/<br>$/, "");
}

// A figure of several panels has several axes.
function themedLayout(layout) {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: value("--line"), linecolor: value("--line"), zerolinecolor: value("--line") };
  return merged(layout, {
    font: { color: value("--ink"), family: getComputedStyle(document.body).fontFamily },
    hoverlabel: { bgcolor: value("--soft"), bordercolor: value("--line"), font: { color: value("--ink") } },
    ...Object.fromEntries(
      Object.keys(layout)
        .filter((key) => /^[xy]axis/.test(key))
        .map((key) => [key, axis]),
    ),
  });
}

function merged(base, extra) {
  const result = { ...base };
  for (const [key, value] of Object.entries(extra)) {
    const both = value && typeof value === "object" && base[key] && typeof base[key] === "object";
    result[key] = both ? merged(base[key], value) : value;
  }
  return result;
}

const OUT_OF_SIGHT_DELAY_MS = 100;
const drawnFigures = new Map();
const placedFigures = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    placedFigures.unobserve(target);
    // Each in a task of its own, so that a click between two is answered, and what is in sight is painted first.
    setTimeout(() => drawnFigures.get(target)?.draw(), isIntersecting ? 0 : OUT_OF_SIGHT_DELAY_MS);
  }
});

// One family of figures: its heading, what can be switched, the plot, and what is said of it.
// `here`: the address of the section with what is chosen, and what it is told when a view is switched.
function figureElement(family, place, here) {
  let [content, chosen, shown] = [family[0], {}, 0];
  const id = slug(family[0].key);
  const over = h("p", { class: "over" });
  const heading = h("h3");
  const settings = h("p", { class: "settings" });
  const switches = h("div", { class: "switch", role: "group", "aria-label": word("page.views") });
  const plot = h("div", { class: "plot" });
  const pinned = h("aside", { class: "pinned", hidden: true, "aria-live": "polite" });
  const caption = h("figcaption");
  const source = h("p", { class: "source" });
  const address = () => wholeAddress([...here.path(), id], here.params());
  const view = () => content.views[shown].figure;
  const filtered = () => filteredFigure(view(), chosen);
  const rows = () => figureRows(filtered());
  const title = () => content.finding || content.family || content.title;
  const tools = h(
    "div",
    { class: "tools" },
    quietButton(word("page.csv"), () => saveCsv(rows(), [here.id, id, content.views[shown].title])),
    quietButton(word("page.picture"), () => savePicture()),
    doneButton(word("page.link"), word("page.copied"), () => copyText(address())),
    doneButton(word("page.markdown"), word("page.copied"), () => copyText(inMarkdown(title(), rows(), address()))),
  );
  const element = h(
    "figure",
    { id, tabindex: "-1" },
    over,
    heading,
    settings,
    switches,
    plot,
    pinned,
    h("div", { class: "under" }, caption, source),
    tools,
  );

  const savePicture = async () => {
    await runLibrary("plotly");
    const size = { width: plot.clientWidth, height: plot.clientHeight, scale: 2 };
    const style = getComputedStyle(document.documentElement);
    const picture = { ...(await plot.layout), paper_bgcolor: style.getPropertyValue("--paper").trim() };
    const address = await Plotly.toImage({ data: plot.data, layout: picture }, { format: "png", ...size });
    const bytes = Uint8Array.from(atob(address.split(",")[1]), (character) => character.charCodeAt(0));
    save(new Blob([bytes], { type: "image/png" }), `${fileName([here.id, id, content.views[shown].title])}.png`);
  };
  const say = (text) => {
    if (window.Plotly) Plotly.purge(plot);
    plot.textContent = text;
    plot.classList.toggle("empty", text !== "");
  };
  const draw = async () => {
    try {
      await runLibrary("plotly");
    } catch {
      return say(word("page.no_figures"));
    }
    if (!plot.isConnected) return;
    const { data: own, layout, isEmpty } = filtered();
    const data = [...own, ...droppedTraces(layout.meta?.joins, content.facets)];
    if (isEmpty || plot.classList.contains("empty")) say(isEmpty ? word("page.nothing") : "");
    if (isEmpty) return;
    // Plotly writes into what it is given.
    const themed = structuredClone(themedLayout(layout));
    const isNarrow = plot.clientWidth < NARROW_PX;
    const written = (texts) => (Array.isArray(texts) ? texts.map(written) : withMinus(texts));
    const drawn = structuredClone(data).map((trace, index) => ({
      ...trace,
      name: isNarrow ? foldedName(trace.name, plot.clientWidth) : trace.name,
      text: written(trace.text),
      hovertext: written(trace.hovertext),
      uid: String(index),
    }));
    const added = isNarrow && layout.showlegend !== false ? LEGEND_ROW_PX * legendLines(drawn) : 0;
    plot.style.height = `${content.height + added}px`;
    // What a reader hid by the legend stays hidden while the view is the same.
    const revision = `${content.title} ${content.settings} ${shown}`;
    themed.legend = { ...themed.legend, uirevision: revision, ...(added ? { maxheight: 1 } : {}) };
    await Plotly.react(plot, drawn, themed, PLOTLY_CONFIG);
    plot.removeAllListeners?.("plotly_click");
    plot.on("plotly_click", ({ points: [point] }) => pin(pinned, point, data[point.curveNumber]));
  };
  const later = () => {
    placedFigures.unobserve(plot);
    placedFigures.observe(plot);
  };
  const show = () => {
    const named = content.family || content.title;
    over.textContent = content.finding ? named : "";
    over.hidden = !content.finding;
    heading.textContent = withMinus(title());
    settings.textContent = [content.family && content.title !== content.family ? content.title : "", content.settings]
      .filter(Boolean)
      .join(" · ");
    settings.hidden = !settings.textContent;
    switches.hidden = content.views.length < 2;
    switches.replaceChildren(
      ...content.views.map(({ title }, index) =>
        h("button", { type: "button", "aria-pressed": String(index === shown), onclick: () => switchTo(index) }, title),
      ),
    );
    plot.style.height = `${content.height}px`;
    caption.textContent = withMinus(content.caption);
    pinned.hidden = true;
    sourceOf(runsOfFigure(view()), content.source).then((text) => (source.textContent = text));
    later();
  };
  const switchTo = (index) => {
    shown = index;
    here.change({ [`show-${place}`]: index ? String(index) : null });
    show();
    switches.children[index].focus();
  };
  drawnFigures.set(plot, { draw });
  return {
    element,
    id,
    draw,
    redraw: later,
    // Shows the member that fits, and of it what was chosen.
    choose(wished, filters, params) {
      content = pick(family, wished);
      chosen = filters;
      shown = Math.min(Number(params[`show-${place}`] ?? 0) || 0, content.views.length - 1);
      const holds = (index) => !filteredFigure(content.views[index].figure, chosen).isEmpty;
      // Where nothing of it is left, the first view that has something takes its place.
      if (!holds(shown))
        shown = Math.max(
          content.views.findIndex((_, index) => holds(index)),
          0,
        );
      show();
      return content.facets;
    },
  };
}

function forgetFigures(plots) {
  for (const plot of plots) {
    placedFigures.unobserve(plot);
    if (window.Plotly) Plotly.purge(plot);
    drawnFigures.delete(plot);
  }
}
