"use strict";
// Scatter plots: networks, or the images of one network, or all networks over the ranked images. A click on a point
// opens what it stands for.

(() => {
  const { el, number } = lamscope;

  const TICKS = [-3, -2, -1, 0, 1].flatMap((e) => [1, 2, 5].map((m) => Number((m * 10 ** e).toPrecision(1)))).concat(100);

  function network(part, y) {
    const error = (values) => ({
      type: "data", symmetric: false, thickness: 1, width: 0, visible: values.every((v) => v[1] !== null),
      array: values.map((v) => v[2] - v[0]), arrayminus: values.map((v) => v[0] - v[1]),
    });
    return part.networks.map((n) => ({
      x: [n.di[0]], y: [n[y][0]], error_x: error([n.di]), mode: "markers+text", type: "scatter", cliponaxis: false,
      text: [n.label], textposition: "top center", name: n.label, marker: look(n, 11), meta: [lamscope.link("ranking", { network: n.name })],
      hovertemplate: `<b>%{text}</b><br>DI %{x:.2f} % [${number(n.di[1])}, ${number(n.di[2])}]<br>${lamscope.METRICS[y][0]} %{y} [${number(n[y][1])}, ${number(n[y][2])}]<br>${n.family}<extra></extra>`,
    }));
  }
  function images(part, y, chosen) {
    const i = part.networks.indexOf(chosen);
    const shown = part.images.filter((m) => m.di[i] !== null && m[y][i] !== null);
    return [{
      x: shown.map((m) => m.di[i]), y: shown.map((m) => m[y][i]), mode: "markers", type: "scatter", name: chosen.label,
      text: shown.map((m) => m.name), marker: look(chosen, 9), meta: shown.map((m) => lamscope.link("compare", { image: m.index })),
      hovertemplate: `<b>%{text}</b><br>DI %{x:.2f} %<br>${lamscope.METRICS[y][0]} %{y}<extra></extra>`,
    }];
  }
  function ranks(part) {
    const shown = part.images.filter((m) => m.rank).sort((a, b) => a.rank - b.rank);
    const meta = shown.map((m) => lamscope.link("compare", { image: m.index }));
    const dots = part.networks.map((n, i) => ({
      x: shown.map((m) => m.rank), y: shown.map((m) => m.di[i]), text: shown.map((m) => m.name), mode: "markers",
      type: "scatter", name: n.label, marker: look(n, 6), meta,
      hovertemplate: `<b>%{text}</b> (rank %{x})<br>${n.label} DI %{y:.2f} %<extra></extra>`,
    }));
    const mean = shown.map((m) => m.di.reduce((sum, v) => sum + v, 0) / m.di.length);
    return [...dots, { x: shown.map((m) => m.rank), y: mean, mode: "lines", name: "mean", hoverinfo: "skip", line: { color: ink(), width: 1.5 } }];
  }
  function distances(part) {
    return part.networks.map((n, i) => ({
      x: part.distance[i][0], y: part.distance[i][1].map((v) => v && 100 * v), mode: "lines+markers", type: "scatter",
      name: n.label, line: { color: n.colour, width: 1.5 }, marker: { ...look(n, 7), maxdisplayed: 12 },
      meta: part.distance[i][0].map(() => lamscope.link("ranking", { network: n.name })),
      hovertemplate: `<b>${n.label}</b><br>%{y:.1f} % within %{x} LR pixels<extra></extra>`,
    }));
  }
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = () => style("--ink");
  const look = (n, size) => ({
    color: n.colour, size, symbol: lamscope.plotlyMarkers[n.marker] || "circle",
    line: { color: style("--rim"), width: 1 },
  });

  function show(part, query) {
    let mode = query.get("mode") || "networks";
    let y = lamscope.METRICS[query.get("y")] ? query.get("y") : "psnr_y";
    let chosen = part.networks.find((n) => n.name === query.get("network")) || part.networks[0];
    const plot = el("div.plot", { role: "img" });
    const says = el("p.small");
    const controls = el("div.controls");

    function controlsOf() {
      const metrics = ["psnr_y", "psnr_rgb", "ssim_y"].map((m) => [m, lamscope.METRICS[m][0]]);
      controls.replaceChildren(
        lamscope.choice("Points", [["networks", "networks"], ["images", "images of one network"], ["ranks", "images by rank"], ["distance", "attribution over distance"]],
          mode, (v) => { mode = v; draw(); }),
        ...(mode === "images" ? [lamscope.choice("Network", part.networks.map((n) => [n.name, n.label]), chosen.name,
          (v) => { chosen = part.networks.find((n) => n.name === v); draw(); })] : []),
        ...(mode === "networks" || mode === "images" ? [lamscope.choice("Against", metrics, y, (v) => { y = v; draw(); })] : []));
    }
    async function draw() {
      lamscope.remember({ mode, y, network: mode === "images" ? chosen.name : null });
      controlsOf();
      says.textContent = text(part, mode, y);
      plot.setAttribute("aria-label", `${says.textContent} The numbers are in the ranking and the image views.`);
      await lamscope.script("assets/plotly.min.js");
      if (!plot.isConnected) return;
      const traces = { networks: () => network(part, y), images: () => images(part, y, chosen), ranks: () => ranks(part), distance: () => distances(part) }[mode]();
      const grid = style("--line");
      const axis = { gridcolor: grid, zeroline: false, linecolor: grid, automargin: true };
      const xaxis = mode === "ranks" ? { title: { text: "Image, by rank of the maximum DI" } }
        : mode === "distance" ? { title: { text: "Distance from the window (LR pixels)" }, type: "linear" }
        : { title: { text: "DI (%), logarithmic" }, type: "log", tickvals: TICKS, ticktext: TICKS.map(String) };
      const yaxis = mode === "ranks" ? { title: { text: "DI (%)" } }
        : mode === "distance" ? { title: { text: "Share of attribution within (%)" }, rangemode: "tozero" } : { title: { text: lamscope.METRICS[y][0] } };
      await Plotly.react(plot, traces, {
        xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, font: { color: ink(), size: 13 }, hovermode: "closest",
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 10, r: 10, t: 20, b: 10 },
        showlegend: mode !== "images", legend: { orientation: "h", y: -0.2 },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: style("--faint"), activecolor: ink() },
      }, { responsive: true, displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
      for (const svg of document.querySelectorAll(".plot svg, #js-plotly-tester")) svg.setAttribute("aria-hidden", "true"); // the label says it all
      plot.removeAllListeners("plotly_click");
      plot.on("plotly_click", ({ points: [point] }) => {
        const to = point.data.meta && point.data.meta[point.pointNumber];
        if (to) location.hash = to;
      });
    }
    queueMicrotask(draw);
    return [el("h1", {}, "Does a wider look go with better images?"), lamscope.notes(part), controls, plot, says];
  }
  function text(part, mode, y) {
    if (mode === "ranks") return "Every network's DI on every image that all networks have, ordered by the maximum. A click on a point opens the image.";
    if (mode === "distance") return "How much of the attribution lies within a distance from the window: a companion of DI that does not depend on the image's size. A click on a point opens the network's row.";
    if (mode === "images") return "Each point is an image. A click opens it.";
    const rows = part.correlations.filter((r) => r.score === y && (r.scope === "all" || r.scope === "within images") && r.value !== null);
    const said = rows.map((r) => `${r.kind === "pearson" ? "Pearson" : "Spearman"} ${r.scope === "all" ? "over networks" : "within images"} ${number(r.value)} [${number(r.low)}, ${number(r.high)}]`);
    return `Correlation with ln DI, 95 % intervals: ${said.join("; ") || "needs three networks"}. A click on a point opens the network's row.`;
  }
  lamscope.views.push({ name: "scatter", title: "Scatter", show });
})();
