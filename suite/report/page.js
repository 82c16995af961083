"use strict";
// Draws each figure when it comes near, and every one before printing; text and grid follow the light or dark setting.
(() => {
  const config = JSON.parse(document.getElementById("plotly-config").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: value("--line"), linecolor: value("--line"), zerolinecolor: value("--line") };
    return {
      font: { color: value("--ink"), family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: value("--soft"), bordercolor: value("--line"), font: { color: value("--ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: value("--quiet"), activecolor: value("--accent") },
      xaxis: axis,
      yaxis: axis,
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

  const figures = [...document.querySelectorAll("figure")].map((element) => ({
    plot: element.querySelector(".plot"),
    views: [...element.querySelectorAll("script")].map((script) => script.textContent),
    buttons: [...element.querySelectorAll(".views button")],
    shown: 0,
    drawn: false,
  }));
  const draw = (figure) => {
    const { data, layout } = JSON.parse(figure.views[figure.shown]);
    figure.drawn = true;
    return Plotly.react(figure.plot, data, merged(layout, colours()), config);
  };
  const drawAll = () => figures.filter((figure) => !figure.drawn).forEach(draw);

  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        near.unobserve(entry.target);
        const figure = figures.find((one) => one.plot === entry.target);
        if (!figure.drawn) draw(figure);
      }
    },
    { rootMargin: "600px" },
  );
  for (const figure of figures) {
    near.observe(figure.plot);
    figure.buttons.forEach((button, index) =>
      button.addEventListener("click", () => {
        figure.shown = index;
        figure.buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
        draw(figure);
      }),
    );
  }
  dark.addEventListener("change", () => figures.filter((figure) => figure.drawn).forEach(draw));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => (details.open = true));
    drawAll();
  });
})();
