(() => {
  "use strict";
  const numbers = JSON.parse(document.getElementById("numbers").textContent);
  const ts = numbers.ts;
  const shown = new Map(); // plot element -> uPlot
  const logs = new Set(); // plots on a logarithmic scale
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const paint = (series) => colour(series.colour === "quiet" ? "--quiet" : "--c" + series.colour);
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
  const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const spread = (splits) => Math.abs((splits[1] ?? 1) - (splits[0] ?? 0));
  const tick = {
    money: (v) => compact.format(v),
    percent: (v, step) => (v * 100).toFixed(step < 0.01 ? (step < 0.001 ? 2 : 1) : 0) + "%",
    number: (v, step) => v.toFixed(step >= 1 ? 0 : step >= 0.1 ? 1 : 2),
  };
  const word = {
    money: (v) => plain.format(v),
    percent: (v) => (v * 100).toFixed(2) + "%",
    number: (v) => v.toFixed(3),
  };
  const deep = (_, labels) => (labels && labels.some((label) => String(label).includes("\n")) ? 42 : 28);
  const said = (v, form) => (v === null || v === undefined ? "–" : form(v));
  const latest = (values) => values[values.length - 1]; // what the legend says while nothing is pointed at
  const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC");
  const intraday = ts.length > 2 && ts.slice(1).some((t, i) => t - ts[i] < 43200);
  const stamp = (seconds) => new Date(seconds * 1e3).toISOString().slice(0, intraday ? 16 : 10).replace("T", " ");

  function options(element, chart) {
    const wide = element.clientWidth;
    const axis = { stroke: colour("--soft"), font: "12px system-ui, sans-serif", ticks: { show: false } };
    const grid = { stroke: colour("--grid"), width: 1 };
    const tall = chart.wide ? (wide < 600 ? 240 : chart.log ? 310 : 220) : 190;
    return {
      width: wide,
      height: tall,
      tzDate: utc,
      cursor: { sync: { key: "report" }, points: { size: 6 }, drag: { x: true, y: false } },
      scales: { x: { time: true }, y: { distr: logs.has(element) ? 3 : 1 } },
      legend: { live: true },
      axes: [
        { ...axis, grid: { show: false }, space: wide < 500 ? 62 : 80, size: deep },
        {
          ...axis,
          grid,
          size: 58,
          values: (_, splits) => splits.map((v) => (v === null ? "" : tick[chart.form](v, spread(splits)))),
        },
      ],
      series: [
        { label: "Date", value: (_, v) => stamp(v ?? ts[ts.length - 1]) },
        ...chart.series.map((series) => ({
          label: series.label,
          stroke: paint(series),
          width: chart.bars ? 0 : 1.6,
          dash: series.dashed ? [5, 4] : undefined,
          fill: series.fill || chart.bars ? paint(series) + (chart.bars ? "cc" : "2e") : undefined,
          paths: chart.bars ? uPlot.paths.bars({ size: [0.9, 40], gap: 0 }) : undefined,
          points: { show: ts.length === 1 },
          value: (_, v, __, at) => said(at === null || at === undefined ? latest(series.value) : v, word[chart.form]),
        })),
      ],
    };
  }

  function draw(element) {
    const chart = numbers.charts[Number(element.dataset.chart)];
    const old = shown.get(element);
    if (old) old.destroy();
    shown.set(element, new uPlot(options(element, chart), [ts, ...chart.series.map((s) => s.value)], element));
    element.dataset.drawn = "1";
  }

  const plots = [...document.querySelectorAll(".plot")];
  const redraw = () => plots.forEach(draw);
  if (ts.length) redraw();

  for (const button of document.querySelectorAll(".log")) {
    const element = button.closest("figure").querySelector(".plot");
    const chart = numbers.charts[Number(element.dataset.chart)];
    if (chart.series.some((s) => s.value.some((v) => v !== null && v <= 0))) continue; // no logarithm to show
    button.hidden = false;
    button.addEventListener("click", () => {
      const on = !logs.delete(element) && Boolean(logs.add(element));
      button.setAttribute("aria-pressed", String(on));
      draw(element);
    });
  }

  let width = window.innerWidth;
  let waiting = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(redraw);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.addEventListener("beforeprint", redraw);
  window.addEventListener("afterprint", redraw);
})();
