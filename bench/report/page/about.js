"use strict";
// Figures and statistics of a part; the method; and where every number comes from.

(() => {
  const { el, number, p } = lamscope;
  const table = (caption, heads, rows) => el("div.wide", { tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col", class: "left" }, h)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td.left", {}, cell)))))));

  function findings(part) {
    const { test, concordance, agreement } = part;
    const labels = Object.fromEntries(part.networks.map((n) => [n.name, n.label]));
    const groups = test.groups.map((g) => g.map((n) => labels[n]).join(", ")).join("; ");
    const pixels = agreement.pixels;
    return [
      el("h2", {}, "What the networks say together"),
      el("ul", {},
        el("li", {}, `Ranks of DI over ${test.n_images} images: Friedman p ${p(test.p)}; two networks differ when their mean ranks are more than ${number(test.critical_difference)} apart (Nemenyi, 95 %). Not told apart: ${groups || "none"}.`),
        el("li", {}, `Agreement on which images are wide: Kendall's W ${number(concordance.w, 3)}, p ${p(concordance.p)}.`),
        el("li", {}, `Agreement on pixels, mean over pairs of networks and windows: rank correlation ${number(agreement.rank_correlation)}, overlap (IoU) of the strongest 5 % ${number(agreement.overlap)}.`)),
      table("Correlation with ln DI; families of fewer than three networks have none", ["score", "scope", "kind", "value", "95 % interval", "n"], part.correlations.filter((r) => r.value !== null).map((r) =>
        [lamscope.METRICS[r.score][0], r.scope, r.kind, number(r.value), r.low === null ? "–" : `${number(r.low)} – ${number(r.high)}`, `${r.n} ${r.over}`])),
      table("Overlap (IoU) of the strongest 5 % of pixels", ["", ...part.networks.map((n) => n.label)],
        part.networks.map((n, i) => [n.label, ...pixels[i].map((v) => number(v))])),
    ];
  }
  function figures(part) {
    const pictures = part.files.filter((f) => f.endsWith(".png"));
    const others = part.files.filter((f) => !/\.(png|pdf)$/.test(f));
    const url = (f) => f.split("/").map(encodeURIComponent).join("/");
    const stem = (f) => f.split("/").at(-1).replace(/\.\w+$/, "");
    return [el("h1", {}, "Figures and statistics"), lamscope.notes(part), ...findings(part),
      el("h2", {}, "Figures"),
      el("div.figures", {}, ...pictures.map((f) => el("figure", {}, el("a", { href: url(f) }, el("img", { src: url(f), loading: "lazy", alt: `figure ${stem(f)}` })),
        el("figcaption", {}, stem(f), " ", part.files.includes(f.replace(/png$/, "pdf")) ? el("a", { href: url(f.replace(/png$/, "pdf")) }, "PDF") : "")))),
      el("h2", {}, "Tables"),
      el("ul", {}, ...others.map((f) => el("li", {}, el("a", { href: url(f) }, f.split("/").at(-1)))))];
  }
  lamscope.views.push({ name: "figures", title: "Figures", show: figures });

  const METHOD = [
    ["Local attribution map (LAM)", "For one window of the SR image, the path integral of the gradient of a detector D (the sum of gradient magnitudes inside the window) along images from a blurred to the original LR input. It says which LR pixels the network used for the window. After J. Gu and C. Dong, Interpreting Super-Resolution Networks with Local Attribution Maps, CVPR 2021."],
    ["Diffusion index (DI)", "(1 − Gini coefficient of |LAM summed over channels|) · 100: how many percent of the LR image take part, as if equally. It depends on the size of the LR image, so only results of one size are compared."],
    ["Area of contribution", "The Gaussian kernel density of the positions of LR pixels weighted by |LAM|, divided by its maximum."],
    ["Difference of LAM", "Each map is divided by its sum; the difference of two networks' shares is shown relative to its largest magnitude. Red (orange): the first looks more; blue (purple): the other does."],
    ["Distance, r90", "The distance from the window, in LR pixels, within which nine tenths of |LAM| lie; mean over images. Unlike DI it does not depend on the size of the image."],
    ["Ranks and intervals", "Everything is computed on the images and windows that all networks have; what is missing is listed. Windows are averaged within an image; 95 % intervals resample images (BCa bootstrap), the same resamples for all networks. Networks differ in rank where the mean ranks over images are further apart than Nemenyi's critical difference."],
    ["What the page shows", "Maps are |LAM| / maximum in 8 bits, coloured in the browser; numbers come from the full-precision maps. Pictures larger than 1024 pixels are scaled down."],
  ];
  function method(part) {
    const cell = (value) => (value === null || value === undefined || value === "" ? "–" : String(value));
    const link = (value) => (value && /^https?:\/\//.test(value) ? el("a", { href: value, rel: "noopener" }, value.replace(/^https?:\/\//, "")) : cell(value));
    const rows = part.networks.map((n, i) => [n, part.provenance[i]]);
    return [el("h1", {}, "Method and provenance"),
      el("dl.method", {}, ...METHOD.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)])),
      el("h2", {}, "These results"),
      el("p", {}, `${part.title}. Window ${part.window_size} × ${part.window_size} SR pixels.`), lamscope.notes(part),
      table("Networks", ["network", "title", "venue", "paper", "code", "weights", "sha256", "trained on", "licence"], rows.map(([n, v]) =>
        [n.label, cell(v.title), `${cell(v.venue)} ${v.year ?? ""}`, link(v.paper), link(v.code), cell(v.weights), el("code", {}, cell(v.sha256?.slice(0, 16))), cell(v.trained_on), cell(v.licence)])),
      table("Runs", ["network", "digest", "lamscope", "commit", "torch", "device", "precision", "environments"], rows.map(([n, v]) =>
        [n.label, el("code", {}, cell(v.digest)), cell(v.lamscope), cell(v.commit), cell(v.torch), cell(v.device), cell(v.precision), cell(v.environments)])),
      table("Settings", ["network", "hyper-parameters", "attribution"], rows.map(([n, v]) => [n.label, el("code", {}, v.net), el("code", {}, v.attribution)])),
      el("p.small", {}, "Test images: SHA-256 of the set ", el("code", {}, cell(part.provenance[0].images?.slice(0, 16))), ". Plots are drawn by plotly.js (MIT licence).")];
  }
  lamscope.views.push({ name: "method", title: "Method", show: method });
})();
