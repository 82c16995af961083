// Draws each figure when it comes near, and every one before printing; text and grid follow the light or dark setting.
const PLOTLY_CONFIG = JSON.parse(document.getElementById("plotly-config")?.textContent ?? "{}");

// plotly.js stands in the page compressed. The policy of the page allows the very text that comes out, by its hash.
async function loadPlotly() {
  const packed = document.getElementById("plotly");
  const bytes = Uint8Array.from(atob(packed.textContent), (character) => character.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(inflated).text();
  document.head.append(script);
  packed.remove();
}

function prepareFigures(elements) {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let isLoaded = false;

  // A figure of several panels has several axes.
  const colours = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: value("--line"), linecolor: value("--line"), zerolinecolor: value("--line") };
    return {
      font: { color: value("--ink"), family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: value("--soft"), bordercolor: value("--line"), font: { color: value("--ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: value("--quiet"), activecolor: value("--accent") },
      ...Object.fromEntries(Object.keys(layout).filter((key) => /^[xy]axis/.test(key)).map((key) => [key, axis])),
    };
  };
  const merged = (base, extra) => {
    const result = { ...base };
    for (const [key, value] of Object.entries(extra)) {
      const both = value && typeof value === "object" && base[key] && typeof base[key] === "object";
      result[key] = both ? merged(base[key], value) : value;
    }
    return result;
  };

  const say = ({ plot }, text) => {
    if (isLoaded) Plotly.purge(plot);
    plot.textContent = text;
    plot.classList.toggle("empty", text !== "");
  };
  const draw = (figure) => {
    const { data, layout, isEmpty } = filteredFigure(figure.view(), figure.chosen);
    figure.isDrawn = true;
    if (isEmpty || figure.plot.classList.contains("empty")) say(figure, isEmpty ? WORDS.nothing : "");
    if (isEmpty) return;
    const themed = merged(layout, colours(layout));
    // What a reader hid by the legend stays hidden while the view is the same.
    themed.legend = { ...themed.legend, uirevision: `view ${figure.shown}` };
    // Plotly writes into the traces that it is given.
    Plotly.react(figure.plot, structuredClone(data), themed, PLOTLY_CONFIG);
  };

  const figures = elements.map((element) => {
    const views = [...element.querySelectorAll("script")].map((script) => script.textContent);
    const facets = JSON.parse(element.dataset.facets);
    const buttons = [...element.querySelectorAll(".views button")];
    const figure = {
      element,
      plot: element.querySelector(".plot"),
      shown: 0,
      chosen: {},
      isDrawn: false,
      parsed: [],
      view(index = figure.shown) {
        const parse = () => {
          const view = JSON.parse(views[index]);
          view.data.forEach((trace, place) => (trace.uid = String(place)));
          return view;
        };
        return (figure.parsed[index] ??= parse());
      },
      // Hides what does not match and returns how many figures are left: it or none. Where the shown view has nothing
      // left, the first that has takes its place.
      filter(chosen) {
        figure.chosen = chosen;
        const holds = (index) => !filteredFigure(figure.view(index), chosen).isEmpty;
        const first = holds(figure.shown) ? figure.shown : views.findIndex((_, index) => holds(index));
        element.hidden = !fits(facets, chosen) || first < 0;
        show(Math.max(first, 0));
        return element.hidden ? 0 : 1;
      },
    };
    const show = (index) => {
      figure.shown = index;
      buttons.forEach((one, place) => one.setAttribute("aria-pressed", String(place === index)));
      redraw(figure);
    };
    buttons.forEach((button, index) => button.addEventListener("click", () => show(index)));
    const save = quietButton(WORDS.csv, () => {
      const name = [element.closest("section").id, element.dataset.title, buttons[figure.shown]?.textContent ?? ""];
      saveCsv(figureRows(filteredFigure(figure.view(), figure.chosen)), name);
    });
    element.querySelector(".head").append(save);
    return figure;
  });

  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        near.unobserve(entry.target);
        const figure = figures.find((one) => one.plot === entry.target);
        // Each in a task of its own, so that a click between two is answered.
        setTimeout(() => figure.isDrawn || draw(figure));
      }
    },
    { rootMargin: "600px" },
  );
  // Drawn anew as soon as it is near, which may be now.
  const redraw = (figure) => {
    figure.isDrawn = false;
    if (!isLoaded) return;
    near.unobserve(figure.plot);
    near.observe(figure.plot);
  };

  const begin = () => {
    isLoaded = true;
    figures.forEach(redraw);
    dark.addEventListener("change", () => figures.forEach(redraw));
    window.addEventListener("beforeprint", () =>
      figures.filter((figure) => !figure.isDrawn && !figure.element.hidden).forEach(draw),
    );
  };
  const giveUp = () => figures.forEach((figure) => say(figure, WORDS.no_figures));
  // The page answers first: to run plotly.js takes longer than all else.
  if (figures.length) setTimeout(() => loadPlotly().then(begin, giveUp), 100);
  return figures;
}
